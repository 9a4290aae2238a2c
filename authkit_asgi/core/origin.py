"""Whose page sent this request: the one check against cross-site request forgery."""

from __future__ import annotations

from authkit_asgi.settings import origin_of

# Exactly these: a framework that upper-cases `post` must not find it unchecked.
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))

# What a form on any page of the web may send without asking first (Fetch, "CORS-safelisted").
FORM_TYPES = frozenset(("application/x-www-form-urlencoded", "multipart/form-data", "text/plain"))


def is_own_site(
    method: str,
    *,
    sec_fetch_site: str | None,
    origin: str | None,
    referer: str | None,
    own: str,
    trusted: frozenset[str],
    has_cookie: bool,
    content_type: str | None,
    strict: bool = False,
) -> bool:
    """Whether this request may change something. A header that was not sent is None.

    `own` and `trusted` come from the settings and never from Host, which a stranger may choose.

    method           Sec-Fetch-Site     Origin          Referer         may it?
    ---------------  -----------------  --------------  --------------  ---------------------------
    GET HEAD OPTIONS any                any             any             yes: they change nothing
    any other        same-origin, none  any             any             yes: the browser's own word
    any other        anything else      trusted         any             yes: a site that we know
    any other        anything else      anything else   any             no
    any other        not sent           own or trusted  any             yes
    any other        not sent           anything else   any             no, `null` included
    any other        not sent           not sent        own or trusted  yes
    any other        not sent           not sent        anything else   no
    any other        not sent           not sent        not sent        no browser of today: only
                                                                        without cookie, or as no
                                                                        form can send it; and
                                                                        with `strict` not at all
    """
    if method in SAFE_METHODS:
        return True
    if sec_fetch_site is not None:
        # Enough by itself: a page under `Referrer-Policy: no-referrer` sends `Origin: null`.
        return sec_fetch_site in ("same-origin", "none") or _is_one_of(origin, trusted)
    if origin is not None:
        return _is_one_of(origin, trusted | {own})
    if referer is not None:
        return _is_one_of(_origin_of(referer), trusted | {own})
    return not strict and not (has_cookie and _a_form_can_send(method, content_type))


def _is_one_of(origin: str | None, origins: frozenset[str]) -> bool:
    # `null` is every sandboxed frame and every local file at once: nobody in particular.
    return origin != "null" and origin in origins


def _origin_of(referer: str) -> str | None:
    try:
        return origin_of(referer)
    except ValueError:
        return None


def _a_form_can_send(method: str, content_type: str | None) -> bool:
    if method.upper() != "POST":
        return False
    media_type = (content_type or "").partition(";")[0].strip(" \t").lower()
    return "/" not in media_type or media_type in FORM_TYPES
