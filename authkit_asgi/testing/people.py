"""People with accounts, signed in without a form, a password or a wait."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from http.cookies import SimpleCookie
from typing import Any, overload
from urllib.parse import urlsplit

from authkit_asgi.accounts import User
from authkit_asgi.errors import EmailNotVerified
from authkit_asgi.events import Visitor
from authkit_asgi.kit import AuthKit
from authkit_asgi.sessions import TokenPair
from authkit_asgi.testing.clients import AsyncClient, SyncClient, give_cookies, is_async, run_for

VISITOR = Visitor(ip="127.0.0.1", user_agent="authkit_asgi.testing")


async def make_user(
    kit: AuthKit,
    email: str,
    *,
    username: str = "",
    firstname: str = "",
    lastname: str = "Example",
    password: str | None = None,
    is_verified: bool = True,
    is_admin: bool = False,
) -> User:
    """An account, written straight into the kit's store; no mail goes out, no event is told.

    The username is the address's local part unless you name another. Without `password` nothing is
    hashed, and nobody can sign in by the form. Raises `store.Taken`.
    """
    await kit.start()
    name = username or email.partition("@")[0]
    hashing = kit.services.hashing
    return await kit.services.accounts.create(
        firstname=firstname or name.capitalize(),
        lastname=lastname,
        username=name,
        email=email,
        password_hash=None if password is None else await hashing.hash(password),
        now=kit.clock(),
        is_verified=is_verified,
        is_admin=is_admin,
    )


@overload
def login_as(
    client: SyncClient,
    user: User | str,
    *,
    kit: AuthKit,
    create: bool = ...,
    remember: bool = ...,
    methods: tuple[str, ...] = ...,
    **account: Any,
) -> User: ...
@overload
def login_as(
    client: AsyncClient,
    user: User | str,
    *,
    kit: AuthKit,
    create: bool = ...,
    remember: bool = ...,
    methods: tuple[str, ...] = ...,
    **account: Any,
) -> Awaitable[User]: ...
def login_as(
    client: SyncClient | AsyncClient,
    user: User | str,
    *,
    kit: AuthKit,
    create: bool = False,
    remember: bool = False,
    methods: tuple[str, ...] = ("pwd",),
    **account: Any,
) -> User | Awaitable[User]:
    """Sign `user` in: a new session, whose cookies are put into `client`. Await it with an async
    client.

    `user` is an account or its address; with `create` it is made by `make_user` when there is none,
    which takes what else you name (`is_admin=True`). `methods` are the factors that the session
    says were proved (RFC 8176): no gate is asked. Raises `LookupError` when there is no such
    account, `EmailNotVerified` where a confirmed address is required.
    """

    async def sign_in() -> tuple[User, list[str]]:
        found, pair, now = await _open(kit, user, create, remember, methods, account)
        return found, kit.services.jar.set_pair(pair, now=now)

    def hand_over(signed_in: tuple[User, list[str]]) -> User:
        found, cookies = signed_in
        give_cookies(client, cookies, site=kit.settings.base_url)
        return found

    async def sign_in_and_hand_over() -> User:
        return hand_over(await sign_in())

    if is_async(client):
        return sign_in_and_hand_over()
    return hand_over(run_for(client, sign_in))


def storage_state(
    kit: AuthKit,
    user: User | str,
    base_url: str = "",
    *,
    create: bool = False,
    remember: bool = False,
    methods: tuple[str, ...] = ("pwd",),
    **account: Any,
) -> dict[str, Any]:
    """A new session as Playwright takes it: `browser.new_context(storage_state=…)`.

    `kit` has the settings and the store of the server that the browser will visit, and `base_url`
    is where that is; by default at AUTHKIT_BASE_URL. The rest is as for `login_as`.
    """
    url = base_url or kit.settings.base_url

    async def sign_in() -> list[str]:
        _, pair, now = await _open(kit, user, create, remember, methods, account)
        return kit.services.jar.set_pair(pair, now=now)

    cookies = [_for_playwright(cookie, url) for cookie in run_for(None, sign_in)]
    return {"cookies": cookies, "origins": []}


async def _open(
    kit: AuthKit,
    user: User | str,
    create: bool,
    remember: bool,
    methods: tuple[str, ...],
    account: dict[str, Any],
) -> tuple[User, TokenPair, float]:
    if account and not create:
        raise TypeError(f"{', '.join(account)}: only with create=True")
    await kit.start()
    accounts, now = kit.services.accounts, kit.clock()
    found = await (accounts.by_email(user) if isinstance(user, str) else accounts.by_id(user.id))
    if found is None and create and isinstance(user, str):
        found = await make_user(kit, user, **account)
    if found is None:
        raise LookupError(f"There is no account of {user}, or it is disabled")
    if kit.settings.require_verified_email and not found.is_verified:
        raise EmailNotVerified
    _, pair = await kit.services.sessions.open(
        found, methods=methods, remember=remember, visitor=VISITOR, now=now
    )
    return found, pair, now


def _for_playwright(set_cookie: str, url: str) -> dict[str, Any]:
    ((name, cookie),) = SimpleCookie(set_cookie).items()
    return {
        "name": name,
        "value": cookie.value,
        "domain": cookie["domain"] or urlsplit(url).hostname,
        "path": cookie["path"],
        # By the browser's clock, whatever the kit's says.
        "expires": time.time() + int(cookie["max-age"]),
        "httpOnly": bool(cookie["httponly"]),
        "secure": bool(cookie["secure"]),
        "sameSite": cookie["samesite"],
    }
