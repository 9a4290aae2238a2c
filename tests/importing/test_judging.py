"""What becomes of each row: taken, mended and noted, or skipped with its reason."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from authkit_asgi.core.passwords import Passwords
from authkit_asgi.importing import Person
from authkit_asgi.importing.judging import Judged, Skipped, Terms, judge
from tests.importing.moving import BCRYPTJS_2B

NOW = 1_800_000_000.0
UUID = "D6B05BDA-0a87-41f6-82b6-8b683993b0ac"


def judged(
    *, drop: bool = False, assume: bool = False, secret: str = "s" * 32, **values: Any
) -> Judged:
    terms = Terms(
        system="jsonl",
        secret=secret,
        unfit=Passwords(rounds=10, min_length=8).unfit,
        now=NOW,
        assume_verified=assume,
        drop_unfit_passwords=drop,
    )
    return judge(Person(where="line 1", **{"email": "ada@example.com", **values}), terms)


def test_an_address_is_enough() -> None:
    one = judged()
    user = one.user
    assert (user.username, user.firstname, user.lastname) == ("ada", "ada", "")
    assert (user.is_verified, user.is_admin, user.disabled_at) == (False, False, None)
    assert (user.created_at, user.last_login_at, user.password_hash) == (NOW, None, None)
    assert (one.notes, one.has_id) == ((), False)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        pytest.param({"email": None}, "no_email", id="no address"),
        pytest.param({"email": ""}, "no_email", id="an empty one"),
        pytest.param({"email": "ada@"}, "invalid_email", id="half of one"),
        pytest.param({"email": {"$gt": ""}}, "invalid_email", id="N-02 an operator"),
        pytest.param({"email": "a@x.com\r\nBcc: b@x.com"}, "invalid_email", id="a header"),
        pytest.param({"email": "a" * 300 + "@x.com"}, "invalid_email", id="a long one"),
        pytest.param({"password_hash": "hunter22"}, "unfit_password", id="a clear password"),
        pytest.param({"password_hash": 1234}, "unfit_password", id="a number for a hash"),
        pytest.param({"password_hash": "$2b$10$" + "a" * 600}, "unfit_password", id="long hash"),
        pytest.param(
            {"password_hash": BCRYPTJS_2B.replace("$10$", "$11$")},
            "unfit_password",
            id="W-09, E-02 more rounds than ours",
        ),
        pytest.param({"is_verified": "yes"}, "invalid_flag", id="a flag in words"),
        pytest.param({"is_admin": 2}, "invalid_flag", id="a flag of two"),
        pytest.param({"is_active": "false"}, "invalid_flag", id="text, which is true in Python"),
        pytest.param({"created_at": "yesterday"}, "invalid_time", id="no time"),
        pytest.param({"created_at": True}, "invalid_time", id="true for a time"),
        pytest.param({"created_at": 1_700_000_000_000}, "invalid_time", id="milliseconds"),
        pytest.param({"created_at": float("nan")}, "invalid_time", id="not a number"),
        pytest.param({"last_login_at": -1}, "invalid_time", id="before time began"),
        pytest.param({"id": ["1"]}, "invalid_id", id="a list for an id"),
    ],
)
def test_who_is_skipped(values: dict[str, Any], code: str) -> None:
    with pytest.raises(Skipped) as skipped:
        judged(**values)
    assert skipped.value.code == code
    assert "hunter22" not in skipped.value.tells


@pytest.mark.parametrize(
    ("given", "username"),
    [
        pytest.param("ada_l", "ada_l", id="as it is"),
        pytest.param("ada l.", "ada-l.", id="a blank"),
        pytest.param("ada@example.com", "ada-user", id="an address, and too short by then"),
        pytest.param("augusta@example.com", "augusta", id="an address"),
        pytest.param("Админ", "ada-user", id="not one sign is possible"),
        pytest.param("admin", "admin-user", id="reserved"),
        pytest.param("x" * 31, "x" * 30, id="too long"),
        pytest.param("..ada", "ada", id="dots in front"),
        pytest.param(17, "ada", id="a number"),
    ],
)
def test_usernames_are_mended(given: object, username: str) -> None:
    one = judged(username=given)
    assert one.user.username.startswith(username[:3]) or given == "Админ"
    assert bool(one.notes) == (one.user.username != given)


@pytest.mark.parametrize(
    ("given", "name", "noted"),
    [
        pytest.param(" Ada ", "Ada", False, id="blanks around"),
        pytest.param("Q", "Q", False, id="one letter"),
        pytest.param("x" * 40, "x" * 30, True, id="a long one is cut"),
        pytest.param("Ada\u202e", "ada", True, id="one that turns the text around it"),
        pytest.param(7, "ada", True, id="a number"),
        pytest.param(None, "ada", False, id="none: the username"),
    ],
)
def test_names_are_mended(given: object, name: str, noted: bool) -> None:
    one = judged(firstname=given)
    assert (one.user.firstname, bool(one.notes)) == (name, noted)


def test_a_long_bio_is_cut() -> None:
    one = judged(bio="x" * 200)
    assert (one.user.bio, len(one.notes)) == ("x" * 160, 1)


def test_an_admin_needs_a_confirmed_address() -> None:
    """SECURITY G-02: anybody could have registered with the address of one."""
    assert not judged(is_admin=True).user.is_admin
    assert judged(is_admin=True).notes
    assert judged(is_admin=True, is_verified=True).user.is_admin
    assert judged(is_admin=True, assume=True).user.is_admin


def test_whoever_is_disabled_stays_so() -> None:
    assert judged(is_active=False).user.disabled_at == NOW
    assert judged(is_active=0).user.disabled_at == NOW


def test_an_unfit_hash_may_be_left_behind() -> None:
    """SECURITY W-14: without a hash nobody signs in by any password."""
    one = judged(password_hash="md5$x$y", drop=True)
    assert one.user.password_hash is None
    assert one.notes


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param(UUID, UUID.lower(), id="a UUID"),
        pytest.param("5f2b7c1e9d3a4b0012345678", "5f2b7c1e9d3a4b0012345678", id="MongoDB's"),
    ],
)
def test_ids_that_are_nobody_elses_are_kept(given: str, kept: str) -> None:
    assert judged(id=given).user.id == kept


@pytest.mark.parametrize("given", [1, "one", "../x", "x" * 5000, "a\0b", "\ud800"])
def test_other_ids_become_ours_and_the_same_each_time(given: object) -> None:
    one, again = judged(id=given), judged(id=given)
    assert one.user.id == again.user.id
    assert len(one.user.id) == 32
    assert one.user.id != judged(id="another").user.id


def test_without_an_id_the_address_makes_one_that_does_not_tell_it() -> None:
    one = judged().user.id
    assert one == judged(email="Ada@Example.com").user.id
    assert one != judged(email="bob@example.com").user.id
    assert one != judged(secret="t" * 32).user.id


@pytest.mark.parametrize(
    "given",
    [
        pytest.param("2024-05-01T12:00:00Z", id="ISO"),
        pytest.param("2024-05-01T14:00:00+02:00", id="another zone"),
        pytest.param("2024-05-01 12:00:00.000000", id="as Django has it in SQLite: UTC"),
        pytest.param(1714564800, id="seconds"),
        pytest.param(datetime(2024, 5, 1, 12, tzinfo=UTC), id="a driver's"),
    ],
)
def test_times_in_every_form(given: object) -> None:
    assert judged(created_at=given).user.created_at == 1714564800.0
