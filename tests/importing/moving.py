"""What a test of moving in needs: JSON lines, and a look at who is there afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from authkit_asgi.accounts import USERS, User
from authkit_asgi.kit import AuthKit
from tests.test_cli import in_app
from tests.world import Browser, members_app

PASSWORD = "motörhead für immer"
OURS = "$bcrypt-sha256$"

# bcryptjs 3.0.3 and 2.4.3, ten rounds.
BCRYPTJS_2B = "$2b$10$IX726GrmhsEf4Kxcb2rHROl/AQ7NB6dh9HcKXaTVwFh3zSYIHz7n6"  # PASSWORD
BCRYPTJS_2A = "$2a$10$ehMWVyOdCDPhDfuQsZuNjuHoZANwpF71o78.Y2PIPD1tK/Aj3zzuS"
BCRYPTJS_2A_PASSWORD = "correct horse battery"
BCRYPTJS_LONG = "$2b$10$NJZdkAyhmxGZPXgegMMDmOAq6QY2Aul.xzGFxrdBOSeWJoczx5cCu"
BCRYPTJS_LONG_PASSWORD = "x" * 80


def lines(path: Path, *rows: dict[str, Any] | str) -> str:
    """A file of these rows; text stands for itself."""
    texts = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("".join(f"{text}\n" for text in texts))
    return str(path)


def everybody() -> dict[str, User]:
    """The accounts that are here, by their address."""

    async def look(kit: AuthKit) -> dict[str, User]:
        return {user.email: user for user in await kit.store.find(USERS, {}, limit=10_000)}

    return in_app(look)


def sign_ins(*tries: tuple[str, str]) -> list[int]:
    """The answers of the API to each address and password."""

    async def work(kit: AuthKit) -> list[int]:
        app = kit.wrap(members_app())
        answers = []
        for email, password in tries:
            async with Browser(app) as browser:
                answers.append((await browser.sign_in(email, password)).status_code)
        return answers

    return in_app(work)
