"""A kit that makes no test wait."""

from __future__ import annotations

import secrets
from typing import Any

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from authkit_asgi.kit import AuthKit
from authkit_asgi.settings import Settings
from authkit_asgi.testing.clock import Clock
from authkit_asgi.testing.mailbox import Mailbox

BASE_URL = "http://localhost:8000"


class QuickSettings(Settings):
    """Settings that read no environment: a test means the same on every machine."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def quick_settings(**changes: Any) -> Settings:
    """Settings for tests, and what you name: rows in memory, fresh secrets, `http://localhost:8000`,
    and bcrypt at four rounds, which takes a millisecond.

    An https base URL needs `bcrypt_rounds=10` or more beside it. Raises `SettingsError`.
    """
    values: dict[str, Any] = {
        "base_url": BASE_URL,
        "token_secret": (secrets.token_urlsafe(40),),
        "refresh_token_secret": (secrets.token_urlsafe(40),),
        "database_url": "memory:",
        "bcrypt_rounds": 4,
        **changes,
    }
    return QuickSettings(**values)


def quick_kit(
    *, clock: Clock | None = None, mailbox: Mailbox | None = None, **more: Any
) -> AuthKit:
    """A kit on `quick_settings`, with a clock and a mailbox. `more` is for `AuthKit`."""
    more.setdefault("settings", quick_settings())
    return AuthKit(clock=clock or Clock(), mailer=mailbox or Mailbox(), **more)
