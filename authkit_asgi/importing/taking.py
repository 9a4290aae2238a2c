"""Takes people in, or says what would happen: one code for both, so that the dry run is true.

Each account is one write, so whatever ends this half-way leaves whole accounts, and running it
again goes on: a person is known by the id that their row gives them here, and by their address.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import blake2b

import anyio

from authkit_asgi.accounts import Accounts, User
from authkit_asgi.core.fields import username_key
from authkit_asgi.importing import Person, Source, Unreadable
from authkit_asgi.importing.judging import Judged, Skipped, Terms, judge, usernames
from authkit_asgi.store import Taken

AT_ONCE = 32  # accounts that are written side by side: a database's commits are shared, or overlap

EMAIL_TAKEN = "This address has an account here that is not of this row."
ID_TAKEN = (
    "The account with this id has another address here: it was changed since, or is somebody "
    "else's."
)


@dataclass(frozen=True, slots=True)
class Note:
    """A row that was skipped, or taken with a difference. `who` is the address as it stands
    there."""

    where: str
    who: str
    code: str
    tells: str

    @property
    def data(self) -> dict[str, str]:
        return {"where": self.where, "email": self.who, "code": self.code, "reason": self.tells}


@dataclass(slots=True)
class Report:
    """`there` were taken before, and are left as they are."""

    read: int = 0
    taken: int = 0
    there: int = 0
    skipped: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    admins: int = 0
    disabled: int = 0
    unverified: int = 0
    without_password: int = 0
    changed: int = 0

    @property
    def data(self) -> dict[str, object]:
        return {
            "read": self.read,
            "taken": self.taken,
            "there": self.there,
            "skipped": self.skipped,
            "reasons": dict(sorted(self.reasons.items())),
            "takenAdmins": self.admins,
            "takenDisabled": self.disabled,
            "takenUnverified": self.unverified,
            "takenWithoutPassword": self.without_password,
            "takenChanged": self.changed,
        }


class Taking:
    """`tell` hears of each row that is skipped, or taken with a difference; `progress` of how many
    rows are done."""

    def __init__(
        self,
        accounts: Accounts,
        terms: Terms,
        *,
        write: bool,
        tell: Callable[[Note], None],
        progress: Callable[[Report], None],
    ) -> None:
        self._accounts = accounts
        self._terms = terms
        self._write = write
        self._tell = tell
        self._progress = progress
        self._claimed: set[int] = set()  # what a dry run would have written: eight bytes a name
        self.report = Report()

    async def all_of(self, source: Source) -> Report:
        """Raises `SourceProblem` and `StoreUnavailable`; what was written until then stays."""
        waiting: list[tuple[Person, Judged]] = []
        names: set[str] = set()
        async for row in source.people():
            self.report.read += 1
            judged = self._judged(row)
            if judged is not None and isinstance(row, Person):
                # Two rows that want the same are taken one after the other: the first one wins.
                wanted = set(_claims(judged.user))
                if len(waiting) == AT_ONCE or names & wanted:
                    await self._take_all(waiting)
                    names.clear()
                waiting.append((row, judged))
                names |= wanted
        await self._take_all(waiting)
        return self.report

    def _judged(self, row: Person | Unreadable) -> Judged | None:
        if isinstance(row, Unreadable):
            self._skip(row, Skipped("unreadable", row.tells))
            return None
        try:
            return judge(row, self._terms)
        except Skipped as skipped:
            self._skip(row, skipped)
            return None

    async def _take_all(self, waiting: list[tuple[Person, Judged]]) -> None:
        try:
            async with anyio.create_task_group() as group:
                for row, judged in waiting:
                    group.start_soon(self._take, row, judged)
        except ExceptionGroup as many:  # as many as there were writes under way: one tells it all
            raise many.exceptions[0] from None
        waiting.clear()
        self._progress(self.report)

    async def _take(self, row: Person, judged: Judged) -> None:
        try:
            if await self._is_there(judged):
                self.report.there += 1
                return
            user = await self._admitted(judged.user)
        except Skipped as skipped:
            self._skip(row, skipped)
            return
        notes = judged.notes
        if user.username != judged.user.username:
            notes = (*notes, f"The username is {user.username}: {judged.user.username} is taken.")
        self._count(user, changed=bool(notes))
        for note in notes:
            self._tell(Note(row.where, user.email, "changed", note))

    async def _is_there(self, judged: Judged) -> bool:
        """Whether an earlier run has taken this very row. Raises `Skipped` when somebody else has
        its place."""
        user = judged.user
        same = await self._accounts.by_any_id(user.id)
        claimed = self._is_claimed(f"@{user.email_key}")
        if same is not None:
            if same.email_key == user.email_key or same.deleted_at is not None:
                return True
            raise Skipped("id_taken", ID_TAKEN)
        if self._is_claimed(f"#{user.id}"):
            if claimed:
                return True
            raise Skipped("id_taken", ID_TAKEN)
        if claimed or await self._accounts.by_any_email(user.email_key or "") is not None:
            if not judged.has_id:
                return True
            raise Skipped("email_taken", EMAIL_TAKEN)
        return False

    async def _admitted(self, user: User) -> User:
        """The account, under the first of its usernames that is free."""
        for username in usernames(user.username):
            tried = replace(user, username=username, username_key=username_key(username))
            try:
                await self._admit(tried)
            except Taken as taken:
                if taken.field != "username_key":
                    raise Skipped("email_taken", EMAIL_TAKEN) from None
            else:
                return tried
        raise Skipped("username_taken", "No username like it is free.")

    async def _admit(self, user: User) -> None:
        if self._write:
            await self._accounts.admit(user)
            return
        taken = await self._accounts.username_is_taken(user.username)
        if taken or self._is_claimed(user.username_key or ""):
            raise Taken("username_key")
        self._claimed |= {_short(claim) for claim in _claims(user)}

    def _is_claimed(self, claim: str) -> bool:
        return _short(claim) in self._claimed

    def _skip(self, row: Person | Unreadable, skipped: Skipped) -> None:
        self.report.skipped += 1
        self.report.reasons[skipped.code] = self.report.reasons.get(skipped.code, 0) + 1
        email = row.email if isinstance(row, Person) else None
        who = email[:254] if isinstance(email, str) else ""
        self._tell(Note(row.where, who, skipped.code, skipped.tells))

    def _count(self, user: User, *, changed: bool) -> None:
        report = self.report
        report.taken += 1
        report.admins += user.is_admin
        report.disabled += user.disabled_at is not None
        report.unverified += not user.is_verified
        report.without_password += user.password_hash is None
        report.changed += changed


def _claims(user: User) -> tuple[str, str, str]:
    """What nobody else may have, each in a form that is none of the others."""
    return (f"#{user.id}", f"@{user.email_key}", user.username_key or "")


def _short(claim: str) -> int:
    return int.from_bytes(blake2b(claim.encode(), digest_size=8).digest())
