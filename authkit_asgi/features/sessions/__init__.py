"""Who am I, and on which devices: the session dashboard."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authkit_asgi.accounts import public_profile
from authkit_asgi.core.rotation import Session, is_over
from authkit_asgi.core.times import iso
from authkit_asgi.errors import CrossSite, NotFound, NotSignedIn, Unavailable
from authkit_asgi.events import SessionsEnded
from authkit_asgi.features import Plug, Services
from authkit_asgi.web.routes import Call, Page, Panel, Reply, Route

# The first that matches names it: Edge and Opera say Chrome too, and Chrome says Safari.
BROWSERS = (
    (re.compile(r"\bEdgA?/|\bEdgiOS/"), "Edge"),
    (re.compile(r"\bOPR/"), "Opera"),
    (re.compile(r"\bFirefox/|\bFxiOS/"), "Firefox"),
    (re.compile(r"Chrome/|\bCriOS/"), "Chrome"),
    (re.compile(r"\bSafari/"), "Safari"),
    (re.compile(r"\bcurl/"), "curl"),
    (re.compile(r"python-httpx"), "httpx"),
)
SYSTEMS = (
    (re.compile(r"iPhone|iPad"), "iOS"),
    (re.compile(r"Android"), "Android"),
    (re.compile(r"Windows"), "Windows"),
    (re.compile(r"Mac OS X"), "macOS"),
    (re.compile(r"CrOS"), "ChromeOS"),
    (re.compile(r"Linux"), "Linux"),
)


@dataclass(frozen=True, slots=True)
class SessionList:
    name = "sessions"
    needs = ("login",)

    def plug(self, services: Services) -> Plug:
        desk = _Desk(services)
        whoami = Route(
            method="GET",
            path="/session",
            handler=desk.whoami,
            summary="Who is signed in, and for how long",
            refusals=(NotSignedIn, Unavailable),
        )
        listing = Route(
            method="GET",
            path="/sessions",
            handler=desk.listing,
            summary="My sessions, with device, address and last use",
            refusals=(NotSignedIn, Unavailable),
        )
        end_one = Route(
            method="DELETE",
            path="/sessions/{id}",
            handler=desk.end_one,
            summary="End one of my sessions",
            refusals=(NotSignedIn, NotFound, CrossSite, Unavailable),
        )
        end_others = Route(
            method="DELETE",
            path="/sessions",
            handler=desk.end_others,
            summary="End all my other sessions; with ?all=true this one too",
            refusals=(NotSignedIn, CrossSite, Unavailable),
        )
        page = "/dashboard/settings/sessions"
        return Plug(
            routes=(whoami, listing, end_one, end_others),
            pages=(
                Page(path=page, template="sessions.html", title="Sessions", data=desk.page),
                Page(
                    path=f"{page}/others",
                    template="end_others.html",
                    title="End all other sessions",
                    submit=end_others,
                    then=page,
                    done="sessions-ended",
                ),
                Page(
                    path=f"{page}/end/{{id}}",
                    template="end_session.html",
                    title="End this session",
                    data=desk.page_one,
                    submit=end_one,
                    then=page,
                    done="session-ended",
                ),
            ),
            panels=(Panel(label="Sessions", path=page, order=30),),
            templates=Path(__file__).parent / "templates",
        )


class _Desk:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def page(self, call: Call[Any]) -> Mapping[str, Any]:
        return {"sessions": await self._mine(call)}

    async def page_one(self, call: Call[Any]) -> Mapping[str, Any]:
        mine = await self._mine(call)
        found = next((one for one in mine if one["id"] == call.params["id"]), None)
        if found is None:
            raise NotFound
        return {"session": found}

    async def whoami(self, call: Call[None]) -> Reply:
        user = await self._services.accounts.require(call.identity.id)
        session = await self._services.sessions.get(call.identity.session_id)
        if session is None:
            raise NotSignedIn
        return Reply(
            message="You are signed in.",
            data={
                "user": public_profile(user),
                "accessTokenExpiresAt": iso(call.identity.expires_at),
                "sessionExpiresAt": iso(session.ends_at),
            },
        )

    async def listing(self, call: Call[None]) -> Reply:
        return Reply(message="Your sessions.", data={"sessions": await self._mine(call)})

    async def end_one(self, call: Call[None]) -> Reply:
        """A session of somebody else's, one that is over and one that never was are all not found
        (SECURITY S-17)."""
        services, session_id = self._services, call.params["id"]
        session = await services.sessions.get(session_id)
        if session is None or session.user_id != call.identity.id:
            raise NotFound
        if is_over(session, now=call.now) or await services.sessions.owner(session) is None:
            raise NotFound
        # Dated when it is written: by that time the other workers find what is new.
        closed = await services.sessions.close(session_id, reason="ended", now=services.clock())
        if closed is None:
            raise NotFound
        await self._tell(call, session_id=session_id, scope="one")
        current = session_id == call.identity.session_id
        return Reply(
            message="The session is over.", cookies=services.jar.clear() if current else ()
        )

    async def end_others(self, call: Call[None]) -> Reply:
        services = self._services
        everywhere = call.query.get("all") == "true"
        spare = "" if everywhere else call.identity.session_id
        ended = await services.sessions.close_all(
            call.identity.id, now=services.clock(), spare=spare
        )
        if ended is None:
            raise NotSignedIn
        await self._tell(call, session_id=spare, scope="all" if everywhere else "others")
        return Reply(
            message="All sessions are over." if everywhere else "All other sessions are over.",
            cookies=services.jar.clear() if everywhere else (),
        )

    async def _mine(self, call: Call[Any]) -> list[dict[str, Any]]:
        user = await self._services.accounts.require(call.identity.id)
        sessions = await self._services.sessions.listing(user, now=call.now)
        return [_shown(one, current=call.identity.session_id) for one in sessions]

    async def _tell(self, call: Call[None], *, session_id: str, scope: str) -> None:
        await self._services.events.tell(
            SessionsEnded(
                at=call.now,
                user_id=call.identity.id,
                session_id=session_id,
                visitor=call.visitor,
                scope=scope,
            )
        )


def _shown(session: Session, *, current: str) -> dict[str, Any]:
    return {
        "id": session.id,
        "current": session.id == current,
        "device": device_of(session.user_agent),
        "userAgent": session.user_agent,
        "ip": session.ip,
        "createdAt": iso(session.created_at),
        "lastSeenAt": iso(session.last_seen_at),
        "expiresAt": iso(session.ends_at),
    }


def device_of(user_agent: str) -> str:
    """A device as people call it: `Firefox on Linux`."""
    browser = next((name for pattern, name in BROWSERS if pattern.search(user_agent)), "")
    system = next((name for pattern, name in SYSTEMS if pattern.search(user_agent)), "")
    return " on ".join(part for part in (browser, system) if part) or "Unknown device"
