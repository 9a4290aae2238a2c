"""Sessions whose rows are elsewhere: a refresh token is exchanged at the account service."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable

from authkit_asgi.core.identity import Identity
from authkit_asgi.core.rotation import Session, Verdict
from authkit_asgi.core.tokens import ACCESS, MAX_BYTES, Tokens
from authkit_asgi.events import Visitor
from authkit_asgi.flights import Flights
from authkit_asgi.remote.asking import AccountsUnavailable, Answer, Asking
from authkit_asgi.remote.published import PublishedKeys
from authkit_asgi.sessions import DEAD, NOT_OURS, Refreshed, TokenPair
from authkit_asgi.web.cookies import CookieJar

logger = logging.getLogger("authkit_asgi.remote")

TIMEOUT = 3.0  # seconds; an exchange whose answer is lost costs nobody the session
# It goes into a header of ours, so not a byte of it may end that.
TOKEN = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
MAX_AGE = re.compile(r";\s*max-age=(\d{1,10})\s*(?:;|$)", re.IGNORECASE)
ELSEWHERE = Refreshed(verdict=Verdict.DEAD, ours=False, elsewhere=True)


class RemoteSessions:
    """`url` is the account service's `POST /token`; where there is none, nothing is exchanged."""

    def __init__(
        self,
        tokens: Tokens,
        keys: PublishedKeys,
        asking: Asking,
        url: str,
        jar: CookieJar,
        clock: Callable[[], float],
    ) -> None:
        self._tokens = tokens
        self.revocations = keys
        self._asking = asking
        self._url = url
        self._jar = jar
        self._clock = clock
        self._exchanges: Flights[Refreshed] = Flights()

    async def refresh(self, token: bytes | None, *, visitor: Visitor, now: float) -> Refreshed:
        """Exchange a refresh token, in the visitor's name. Concurrent calls with one token share
        one exchange. Raises `AccountsUnavailable`; then the same token works again."""
        if not self._url:
            return ELSEWHERE
        if token is None or len(token) > MAX_BYTES or not TOKEN.fullmatch(token):
            return NOT_OURS
        sent = token.decode("ascii")
        return await self._exchanges.run(token, lambda: self._exchange(sent, visitor))

    async def peek(self, token: bytes | None, *, now: float, visitor: Visitor) -> Identity | None:
        """Only the account service can read it, and only by exchanging it: nobody, here."""
        return None

    async def confirm(self, identity: Identity, *, now: float) -> None:
        """The row is not ours. It is confirmed by the next exchange, at the latest."""

    async def get(self, session_id: str) -> Session | None:
        """Raises `AccountsUnavailable`: no row can be read here."""
        raise AccountsUnavailable

    async def ends_at(self, session_id: str, *, now: float) -> float | None:
        """What is open ends with its access token: nobody here knows more of the session."""
        return None

    async def _exchange(self, token: str, visitor: Visitor) -> Refreshed:
        """What the account service's answer means.

        status  and                                meaning
        ------  ---------------------------------  ---------------------------------------------
        200     both cookies, with a token of its  go on with these
        401     its own, that clears the cookie    the session is over: clear ours
        401     its own                            it does not know the token: clear nothing
        other   anything                           503: an outage is no sign-out
        """
        answer = await self._asking.ask(
            "POST", self._url, within=TIMEOUT, headers=self._headers(token, visitor), body=b"{}"
        )
        cookies = _cookies_in(answer)
        if answer.status == 200:
            return Refreshed(verdict=Verdict.ROTATE, pair=await self._pair(cookies))
        if answer.status == 401 and _code(answer.body) == "not_signed_in":
            _, left = cookies.get(self._jar.refresh_name, ("", 1))
            return DEAD if left == 0 else NOT_OURS
        logger.warning("A refresh was answered with %d", answer.status)
        raise AccountsUnavailable

    def _headers(self, token: str, visitor: Visitor) -> dict[str, str]:
        # Limits, the list of sessions and notices go by whoever it is for, not by us.
        said = visitor.user_agent.encode("latin-1", "replace").decode("latin-1")
        about = {"User-Agent": said, "X-Forwarded-For": visitor.ip}
        return {
            "Cookie": f"{self._jar.refresh_name}={token}",
            "Content-Type": "application/json",  # as no form of another site could send it
            "Accept": "application/json",
            **{name: value for name, value in about.items() if value},
        }

    async def _pair(self, cookies: dict[str, tuple[str, int]]) -> TokenPair:
        access, _ = cookies.get(self._jar.access_name, ("", 0))
        refresh, left = cookies.get(self._jar.refresh_name, ("", 0))
        now = self._clock()
        await self.revocations.learn(access.encode(), now)
        claims = self._tokens.read(ACCESS, access.encode(), now=now)
        if claims is None or not TOKEN.fullmatch(refresh.encode()):
            logger.error(
                "The account service's new tokens are not for us: are the issuer, "
                "AUTHKIT_ACCESS_TOKEN_LIFETIME and the cookies' names the same there?"
            )
            raise AccountsUnavailable
        return TokenPair(
            access=access,
            refresh=refresh,
            generation=claims.generation,
            access_expires_at=claims.expires_at,
            refresh_expires_at=int(now) + left,
        )


def _cookies_in(answer: Answer) -> dict[str, tuple[str, int]]:
    """Value and seconds left of each cookie that the answer sets."""
    found: dict[str, tuple[str, int]] = {}
    for line in answer.headers.get_all("set-cookie", []):
        pair, _, rest = line.partition(";")
        name, _, value = pair.partition("=")
        age = MAX_AGE.search(f";{rest}")
        found[name.strip()] = (value.strip(), int(age[1]) if age else 0)
    return found


def _code(body: bytes) -> object:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return said.get("code") if isinstance(said, dict) else None
