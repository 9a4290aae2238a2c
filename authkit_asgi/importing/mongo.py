"""The `users` collection of Next Auth Kit, as its Mongoose model writes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

try:
    from bson.codec_options import CodecOptions, DatetimeConversion
    from bson.errors import BSONError
    from pymongo import AsyncMongoClient, ReadPreference
    from pymongo.errors import PyMongoError
except ImportError as missing:
    raise ImportError(
        "--from next-auth-kit needs PyMongo 4.13: pip install 'authkit-asgi[mongo]'"
    ) from missing

from authkit_asgi.importing import BATCH, Person, SourceProblem, Unreadable

PATIENCE = 5000  # milliseconds to find the server

FIELDS = {
    "id": "_id",
    "email": "email",
    "username": "username",
    "firstname": "firstname",
    "lastname": "lastname",
    "bio": "bio",
    "password_hash": "password",
    "is_verified": "isVerified",
    "is_admin": "isAdmin",
    "created_at": "createdAt",
}


class NextAuthKit:
    """`place` is a mongodb:// URL that names the database; Mongoose's own default is `test`."""

    def __init__(self, place: str, *, table: str | None = None) -> None:
        try:
            said = "serverselectiontimeoutms=" in place.lower()
            patience: dict[str, Any] = {} if said else {"serverSelectionTimeoutMS": PATIENCE}
            self._client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(place, **patience)
            self._collection = self._client.get_default_database("test")[table or "users"]
        except (PyMongoError, ValueError, TypeError) as error:  # its words may hold the URL
            raise SourceProblem(
                "The source must be a URL like mongodb://user:password@host/database."
            ) from error

    async def people(self) -> AsyncIterator[Person | Unreadable]:
        # Dates beyond what Python can hold come as they are, and are judged with their row.
        options: CodecOptions[dict[str, Any]] = CodecOptions(
            tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO
        )
        # Mailed tokens and refresh tokens are not asked for: links of the old site end with it.
        cursor = (
            self._collection.with_options(options, read_preference=ReadPreference.PRIMARY)
            .find({}, dict.fromkeys(FIELDS.values(), 1), batch_size=BATCH)
            .sort("_id", 1)
        )
        number = 0
        try:
            async for row in cursor:
                number += 1
                yield _person(row)
            if not number and not await self._is_there():
                raise SourceProblem(f"There is no collection {self._collection.name!r} there.")
        except (PyMongoError, BSONError) as error:
            cause = type(error).__name__
            raise SourceProblem(f"MongoDB does not answer, after row {number} ({cause}).") from None
        finally:
            await cursor.close()

    async def close(self) -> None:
        await self._client.close()

    async def _is_there(self) -> bool:
        return self._collection.name in await self._collection.database.list_collection_names()


def _person(row: Mapping[str, Any]) -> Person:
    values = {name: row.get(column) for name, column in FIELDS.items()}
    if not isinstance(values["id"], int | str):
        values["id"] = str(values["id"])  # an ObjectId
    return Person(where=f"_id {values['id']}", **values)
