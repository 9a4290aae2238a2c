"""An answer that brings new tokens along: with their cookies, and for no cache."""

from __future__ import annotations

from collections.abc import Sequence

from authkit_asgi.web.caching import RawHeaders, is_for_caches, varied


def renewed(
    headers: Sequence[tuple[bytes, bytes]], cookies: Sequence[str], names: Sequence[bytes]
) -> RawHeaders:
    """The app's headers, with our Set-Cookie values for the cookies of these names, and nothing
    that a cache could take for leave to keep it (SECURITY K-01)."""
    kept = [(bytes(name), bytes(value)) for name, value in headers]
    cookies = _not_overruled(cookies, kept, names)
    kept = [pair for pair in kept if not is_for_caches(pair[0].lower())]
    kept = varied(kept)
    kept.append((b"cache-control", b"private, no-store"))
    kept.extend((b"set-cookie", cookie.encode("latin-1")) for cookie in cookies)
    return kept


def _not_overruled(
    cookies: Sequence[str], headers: RawHeaders, names: Sequence[bytes]
) -> Sequence[str]:
    """Our cookies, but for those that the app names itself: the app wins (SECURITY C-10).

    An app that deletes one signs out, and gets none of ours. One that only sets one (new claims,
    say) must not cost the browser the other: it would come back with a refresh token that was used
    up, and look like a thief.
    """
    theirs: dict[str, str] = {}
    for name, value in headers:
        if name.lower() == b"set-cookie":
            cookie, _, rest = value.decode("latin-1").partition("=")
            theirs[cookie.strip()] = rest.lower().replace(" ", "")
    told = [theirs[name.decode()] for name in names if name.decode() in theirs]
    if any(value[:1] in ("", ";") or ";max-age=0" in value for value in told):
        return ()
    return [cookie for cookie in cookies if cookie.partition("=")[0] not in theirs]
