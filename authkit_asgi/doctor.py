"""Looks at an installation: what keeps it from working, and what one does not want in public.

It changes nothing: not even a SQLite file that is missing is made.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import tempfile
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio.to_thread

from authkit_asgi.accounts import USERS
from authkit_asgi.broadcast.urls import broadcast_from_settings
from authkit_asgi.core.rotation import longest_race
from authkit_asgi.errors import StoreUnavailable
from authkit_asgi.keys import access_keys, exposed
from authkit_asgi.links import LINKS
from authkit_asgi.mail import Letter, MailError
from authkit_asgi.mail.compose import Brand, compose
from authkit_asgi.mail.urls import mailer_from_url
from authkit_asgi.sessions import SESSIONS
from authkit_asgi.settings import Settings, SettingsError
from authkit_asgi.signin import TICKETS
from authkit_asgi.store import Inspectable, TooNew
from authkit_asgi.store.urls import store_from_url

REDIS_PATIENCE = 3.0  # seconds


async def problems(settings: Settings, mail_to: str | None) -> list[str]:
    """What keeps the application from working, each with the name of its setting."""
    found: list[str] = []
    try:
        access_keys(settings)
    except SettingsError as error:
        found += error.problems
    checks: dict[str, Callable[[], Awaitable[None]]] = {
        "AUTHKIT_DATABASE_URL": partial(_try_store, settings),
        "AUTHKIT_REDIS_URL": partial(_try_broadcast, settings),
        "AUTHKIT_MAIL_URL": partial(_try_mail, settings, mail_to),
    }
    for name, check in checks.items():
        try:
            await check()
        except (ValueError, ImportError, MailError, TooNew) as error:
            found.append(f"{name}: {error}")
        except StoreUnavailable as error:
            # The driver's own words may hold the URL, password and all.
            cause = type(error.__cause__ or error).__name__
            found.append(f"{name}: the database does not answer ({cause})")
    return found


async def weaknesses(settings: Settings) -> list[str]:
    """By which settings of the database rows can be lost; nothing when it cannot be asked."""
    try:
        store = store_from_url(settings.database_url)
    except (ValueError, ImportError):
        return []
    if not isinstance(store, Inspectable):
        return []
    try:
        return [f"AUTHKIT_DATABASE_URL: {one}" for one in await store.weaknesses()]
    except StoreUnavailable:
        return []
    finally:
        await store.close()


async def _try_store(settings: Settings) -> None:
    store = store_from_url(settings.database_url)
    path = _sqlite_path(settings)
    if path is not None and not path.exists():
        # It is made by the application's own user, at its start: made here, it would be ours.
        if not os.access(path.parent, os.W_OK):
            raise ValueError("the directory of the file is not there, or not ours to write to")
        return
    if path is not None and not os.access(path, os.W_OK):
        raise ValueError("the file is not ours to write to")
    if isinstance(store, Inspectable):
        try:
            await store.pending([USERS, SESSIONS, LINKS, TICKETS])
        finally:
            await store.close()


async def _try_broadcast(settings: Settings) -> None:
    broadcast = broadcast_from_settings(settings)
    if broadcast is None:
        return
    connected = threading.Event()
    broadcast.open(lambda message: None, connected.set)
    answers = await anyio.to_thread.run_sync(connected.wait, REDIS_PATIENCE)
    await anyio.to_thread.run_sync(broadcast.close)
    if not answers:
        raise ValueError("Redis does not answer, or does not let us listen")


async def _try_mail(settings: Settings, mail_to: str | None) -> None:
    mailer = mailer_from_url(
        settings.mail_url, sender=settings.mail_from, resend_api_key=settings.resend_api_key
    )
    letter = Letter(
        subject=f"{settings.app_name} can send mail",
        paragraphs=("This is the mail that `authkit-asgi check --mail-to` was asked for.",),
    )
    brand = Brand(name=settings.app_name, url=settings.base_url)
    try:
        if mail_to is not None:
            key = f"check/{secrets.token_hex(8)}"
            await mailer.send(compose(letter, to=mail_to, key=key, brand=brand))
    finally:
        await mailer.close()


def warnings(settings: Settings) -> list[str]:
    """What works, and is not what one wants where strangers come."""
    public = not settings.on_loopback
    path = _sqlite_path(settings)
    mail = settings.mail_url.partition(":")[0].lower()
    judged = {
        "AUTHKIT_DATABASE_URL: the file lies among temporary files, which the system removes": (
            path is not None and _is_temporary(path)
        ),
        "AUTHKIT_DATABASE_URL: the path is relative, so each working directory has its own rows": (
            public and path is not None and not path.is_absolute()
        ),
        f"AUTHKIT_MAIL_URL: {mail}: delivers to nobody, and keeps live links on this machine": (
            public and mail in ("console", "file")
        ),
        "AUTHKIT_ACCESS_TOKEN_LIFETIME: with refreshes that close together, a thief who keeps the "
        "owner's time is taken for a slow line (AUTHKIT_REFRESH_GRACE)": (
            settings.access_token_lifetime <= longest_race(settings.refresh_grace)
        ),
        UVICORN_BELIEVES: public and _uvicorn_believes_forwarded(),
    }
    return [*exposed(settings), *(warning for warning, holds in judged.items() if holds)]


# SECURITY I-08.
UVICORN_BELIEVES = (
    "uvicorn, unless told otherwise, believes X-Forwarded-For and X-Forwarded-Proto of whoever "
    "connects from this machine: a local process, or a visitor through a proxy here that passes "
    "them on, chooses its own address. Start it with --no-proxy-headers and name your proxies in "
    "AUTHKIT_TRUSTED_PROXIES, or set FORWARDED_ALLOW_IPS to the addresses of your proxies"
)


def _uvicorn_believes_forwarded() -> bool:
    believed = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")
    strangers = believed == "127.0.0.1" or "*" in believed
    return strangers and importlib.util.find_spec("uvicorn") is not None


def _sqlite_path(settings: Settings) -> Path | None:
    scheme, _, path = settings.database_url.partition(":///")
    return Path(path) if scheme.lower() == "sqlite" and path else None


def _is_temporary(path: Path) -> bool:
    # Named in order to warn of them; nothing is written there.
    places = (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm")  # noqa: S108
    return any(path.resolve().is_relative_to(Path(place).resolve()) for place in places)
