"""The few calls of the API that a program makes around its own: sign in, look, sign out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class AuthKitClientError(Exception):
    """The API refused. `code` is for programs, `fields` says what is wrong with which field.

    `data` is what the answer hands over all the same: the `ticket` of a sign-in that needs one more
    step, say. `code` is empty when something else than the API answered.
    """

    def __init__(
        self,
        status: int,
        code: str = "",
        message: str = "",
        *,
        fields: Mapping[str, str] | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}" if code else f"{status}")
        self.status = status
        self.code = code
        self.message = message
        self.fields = dict(fields or {})
        self.data = dict(data or {})


class AuthKitClient:
    """The calls through a client of httpx or httpx2, its transport `Refreshing`."""

    def __init__(self, client: Any, api: str) -> None:
        self._client = client
        self._api = api.rstrip("/")

    def login(self, email: str, password: str, *, remember_me: bool = False) -> dict[str, Any]:
        """Sign in; the user."""
        return _user(self._call("POST", "/login", _login(email, password, remember_me)))

    def logout(self) -> None:
        """End the session."""
        self._call("POST", "/logout", {})

    def session(self) -> dict[str, Any]:
        """Who is signed in, and until when: `user`, `accessTokenExpiresAt`, `sessionExpiresAt`."""
        return self._call("GET", "/session")

    def refresh(self) -> dict[str, Any]:
        """Refresh now, before a long job say; `accessTokenExpiresAt`."""
        return self._call("POST", "/token", {})

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        return _data(self._client.request(method, self._api + path, json=body))


class AsyncAuthKitClient:
    """The calls through an async client of httpx or httpx2, its transport `AsyncRefreshing`."""

    def __init__(self, client: Any, api: str) -> None:
        self._client = client
        self._api = api.rstrip("/")

    async def login(
        self, email: str, password: str, *, remember_me: bool = False
    ) -> dict[str, Any]:
        """Sign in; the user."""
        return _user(await self._call("POST", "/login", _login(email, password, remember_me)))

    async def logout(self) -> None:
        """End the session."""
        await self._call("POST", "/logout", {})

    async def session(self) -> dict[str, Any]:
        """Who is signed in, and until when: `user`, `accessTokenExpiresAt`, `sessionExpiresAt`."""
        return await self._call("GET", "/session")

    async def refresh(self) -> dict[str, Any]:
        """Refresh now, before a long job say; `accessTokenExpiresAt`."""
        return await self._call("POST", "/token", {})

    async def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        return _data(await self._client.request(method, self._api + path, json=body))


def _login(email: str, password: str, remember_me: bool) -> dict[str, Any]:
    return {"email": email, "password": password, "rememberMe": remember_me}


def _user(data: Mapping[str, Any]) -> dict[str, Any]:
    return dict(data["user"])


def _data(response: Any) -> dict[str, Any]:
    """What the answer is about, or the refusal it is."""
    try:
        said = response.json()
    except ValueError:
        said = None
    if not isinstance(said, dict) or "success" not in said:
        raise AuthKitClientError(response.status_code)
    if not said["success"]:
        raise AuthKitClientError(
            response.status_code,
            said.get("code", ""),
            said.get("error", ""),
            fields=said.get("fields"),
            data=said.get("data"),
        )
    return dict(said.get("data") or {})
