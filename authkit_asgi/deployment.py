"""Looks at a deployment from outside, as a stranger's browser does: what proxies on the way change.

Only public routes are asked, and nobody signs in: there is no route for diagnosis that could tell a
stranger anything. A sign-out without cookies changes nothing, and clears both of them.
"""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from authkit_asgi.settings import origin_of

PATIENCE = 10.0  # seconds for each answer
MOST_SKEW = 10.0  # seconds: so much is allowed between workers, too
LARGE_COOKIE = 7000  # bytes: two tokens of the largest size that browsers keep, nearly
FOREIGN = "https://other-site.invalid"
SOON = 10.0  # days: what renews certificates by itself has done so by then

# By the numbers of OpenSSL (X509_V_ERR_…).
INCOMPLETE = (
    "its chain is not complete: send the intermediate certificates too (fullchain.pem). Or "
    "it is of an authority that this machine does not know"
)
ANOTHER = "it names other hosts: get one that names this one"
CERTIFICATES = {
    9: "it begins later: is the clock of this machine right?",
    10: "it has expired: renew it, and let the proxy read it anew",
    18: "it is signed by itself: get one of an authority that browsers know",
    19: "it is of an authority that this machine does not know",
    20: INCOMPLETE,
    21: INCOMPLETE,
    62: ANOTHER,
    64: ANOTHER,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at. `advice` is what to do; empty when it is as it should be.

    With `may_be`, it works all the same, or is nothing to an app that does without.
    """

    name: str
    advice: str = ""
    may_be: bool = False

    @property
    def holds(self) -> bool:
        return not self.advice

    @property
    def warns(self) -> bool:
        return not self.holds and self.may_be


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Message
    body: bytes

    @property
    def code(self) -> str:
        try:
            return str(json.loads(self.body).get("code", ""))
        except (ValueError, AttributeError):
            return ""


def findings(url: str, *, api: str = "/api/users", pages: str = "/user") -> list[Finding]:
    """Each thing that was looked at at `url`, an origin. Raises ValueError for a URL that is none,
    and OSError when nobody answers there."""
    return list(_Look(origin_of(url.rstrip("/")), api, pages).all())


class _Look:
    def __init__(self, origin: str, api: str, pages: str) -> None:
        self._origin = origin
        self._api = api
        self._pages = pages

    def all(self) -> Iterator[Finding]:
        if self._origin.startswith("https://"):
            certificate = self._certificate()
            yield certificate
            if not certificate.holds and not certificate.warns:
                return
        answer = self._ask("GET", f"{self._api}/session")
        is_ours = (answer.status, answer.code) == (401, "not_signed_in")
        yield _judged(
            "reached",
            is_ours,
            f"{self._api}/session did not answer as the kit does: "
            "let the proxy pass every path on as it came",
        )
        if not is_ours:
            return
        yield self._clock(answer)
        yield self._scheme()
        yield from self._sites()
        yield from self._cookies()
        yield self._large_cookie()
        yield self._cache()
        yield self._websockets()

    def _certificate(self) -> Finding:
        parts = urlsplit(self._origin)
        host = parts.hostname or ""
        tls = ssl.create_default_context()
        try:
            with (
                socket.create_connection((host, parts.port or 443), PATIENCE) as line,
                tls.wrap_socket(line, server_hostname=host) as sealed,
            ):
                ends = str((sealed.getpeercert() or {})["notAfter"])
        except ssl.SSLCertVerificationError as error:
            told = CERTIFICATES.get(error.verify_code, error.verify_message)
            return Finding("certificate", f"browsers refuse it: {told}")
        except ssl.SSLError as error:
            return Finding(
                "certificate", f"there is no TLS 1.2 or 1.3 at this port: {error.reason}"
            )
        days = (ssl.cert_time_to_seconds(ends) - time.time()) / 86_400
        advice = "" if days > SOON else f"it expires in {days:.0f} days: see that it is renewed"
        return Finding("certificate", advice, may_be=True)

    def _clock(self, answer: _Answer) -> Finding:
        try:
            skew = abs(
                parsedate_to_datetime(answer.headers.get("Date", "")).timestamp() - time.time()
            )
        except ValueError:
            return Finding("clock", "no Date header: let the proxy or the server send one")
        return _judged(
            "clock",
            skew <= MOST_SKEW,
            f"the clock of the server, or of this machine, is "
            f"{skew:.0f} seconds off: run NTP on both",
        )

    def _scheme(self) -> Finding:
        answer = self._ask("GET", f"{self._pages}/dashboard", {"Sec-Fetch-Mode": "navigate"})
        there = answer.headers.get("Location", "")
        same = there.startswith("/") or there.startswith(f"{self._origin}/")
        return _judged(
            "redirects",
            answer.status == 303 and same,
            "a redirect leads to another "
            "scheme or host: do not rewrite Location (nginx: proxy_redirect off)",
        )

    def _sites(self) -> Iterator[Finding]:
        for name, value in (("Origin", FOREIGN), ("Sec-Fetch-Site", "cross-site")):
            answer = self._sign_out({name: value})
            yield _judged(
                name,
                answer.code == "cross_site",
                f"{name} does not arrive: the proxy must "
                "pass it on, for by it other sites are told from yours",
            )
        answer = self._sign_out({"Origin": self._origin})
        yield _judged(
            "base URL",
            answer.status == 200,
            f"requests of {self._origin} count as another site's: set AUTHKIT_BASE_URL to it",
        )

    def _cookies(self) -> Iterator[Finding]:
        answer = self._sign_out({"Sec-Fetch-Site": "same-origin"})
        cookies = answer.headers.get_all("Set-Cookie", [])
        yield _judged(
            "cookies",
            len(cookies) >= 2,
            "Set-Cookie does not arrive: the proxy must pass "
            "each of them on (nginx: no proxy_hide_header Set-Cookie)",
        )
        https = self._origin.startswith("https://")
        prefixed = all(one.startswith(("__Host-", "__Secure-")) for one in cookies[:2])
        flags = all("httponly" in one.lower() and "path=/;" in f"{one.lower()};" for one in cookies)
        secure = not https or (prefixed and all("; secure" in one.lower() for one in cookies))
        yield _judged(
            "cookie flags",
            flags and secure,
            "the cookies' attributes were changed on the "
            "way (proxy_cookie_path, proxy_cookie_flags), or AUTHKIT_BASE_URL is not https",
        )
        control = answer.headers.get("Cache-Control", "")
        yield _judged(
            "cookies and caches",
            "no-store" in control,
            "Cache-Control of an answer with cookies was changed on the way: leave it as it is",
        )

    def _large_cookie(self) -> Finding:
        answer = self._ask("GET", f"{self._api}/session", {"Cookie": "x=" + "y" * LARGE_COOKIE})
        return _judged(
            "large cookies",
            answer.code == "not_signed_in",
            f"{LARGE_COOKIE} bytes of "
            "cookies are refused on the way (nginx: large_client_header_buffers 4 16k)",
        )

    def _cache(self) -> Finding:
        """A cache tells of itself by Age (RFC 9111 section 5.1), or two answers are one."""
        path = f"{self._pages}/login?check={time.time_ns()}"
        answers = [self._ask("GET", path) for _ in range(2)]
        kept = any(
            "Age" in one.headers
            or "no-store" not in one.headers.get("Cache-Control", "")
            or any(
                "hit" in value.lower()
                for name, value in one.headers.items()
                if "cache" in name.lower()
            )
            for one in answers
        )
        return _judged(
            "caches",
            not kept,
            "a cache keeps what says no-store: let it obey "
            "Cache-Control (nginx: no proxy_ignore_headers)",
        )

    def _websockets(self) -> Finding:
        """A handshake at a protected page is denied before any app hears of it. Where it arrives as
        something else it is a browser that opens a page, and is led to sign in."""
        handshake = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode(),
            "Origin": self._origin,
            "Sec-Fetch-Mode": "navigate",
            "Accept": "text/html",
        }
        try:
            page = f"{self._pages}/dashboard?check={time.time_ns()}"
            status = self._ask("GET", page, handshake).status
        except OSError as error:
            return Finding("WebSockets", f"a handshake has no answer: {error}", may_be=True)
        if status in (401, 403):  # not every server can deny with an answer of ours
            return Finding("WebSockets")
        if status == 101:
            return Finding(
                "WebSockets",
                "a stranger's handshake is accepted on a protected path: "
                "WebSockets are led around the guard",
            )
        advice = (
            "a handshake arrives as a request for a page: let the proxy pass on Upgrade and "
            "Connection (nginx: proxy_http_version 1.1 and proxy_set_header for both), and the "
            "server know WebSockets (uvicorn: pip install 'uvicorn[standard]')"
            if status == 303
            else f"a handshake is answered with {status} on the way"
        )
        return Finding("WebSockets", advice, may_be=True)

    def _sign_out(self, headers: Mapping[str, str]) -> _Answer:
        # JSON, which no form can send: only by its origin is such a request told to be another's.
        sent = {"Content-Type": "application/json", **headers}
        return self._ask("POST", f"{self._api}/logout", sent)

    def _ask(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> _Answer:
        parts = urlsplit(self._origin)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        connection = kind(parts.hostname or "", parts.port, timeout=PATIENCE)
        try:
            connection.request(method, path, headers=dict(headers or {}))
            response = connection.getresponse()
            return _Answer(response.status, response.headers, response.read(64 * 1024))
        except http.client.HTTPException as error:
            raise OSError(f"no HTTP answer: {type(error).__name__}") from None
        finally:
            connection.close()


def _judged(name: str, holds: bool, advice: str) -> Finding:
    return Finding(name, "" if holds else advice)
