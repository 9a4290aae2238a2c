"""A proxy between workers and any database server: it understands nothing of what is said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from tests.faults.databases import Database
from tests.store.services import Proxy

Trouble = Literal["gone", "mute", "slow", "cut"]


class Wire(Proxy):
    @property
    def url(self) -> str:
        """Of the same database, through here. A MongoDB driver must not ask for other members."""
        server = urlsplit(super().url)
        query = server.query
        if server.scheme == "mongodb":
            query = f"{query}&directConnection=true".lstrip("&")
        return urlunsplit(server._replace(netloc=server.netloc.lstrip("@"), query=query))

    async def trouble(self, kind: Trouble) -> None:
        if kind == "gone":
            await self.refuse()
        else:
            self.set(kind)

    async def recover(self, kind: Trouble) -> None:
        if kind == "gone":
            await self.listen()
        else:
            self.set("pass")

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()


@asynccontextmanager
async def through_a_wire(database: Database) -> AsyncIterator[tuple[Wire, Database]]:
    wire = Wire(database.url)
    await wire.listen()
    try:
        yield wire, replace(database, url=wire.url)
    finally:
        await wire.refuse()
