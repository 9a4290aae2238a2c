"""What people may write into the fields of a request."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from authkit_asgi.core.fields import (
    RESERVED_USERNAMES,
    Bio,
    ClearPassword,
    EmailAddress,
    LinkToken,
    PersonName,
    Username,
    email_key,
    link_text,
    sentence_of,
    username_key,
)

EMAIL: TypeAdapter[str] = TypeAdapter(EmailAddress)
USERNAME: TypeAdapter[str] = TypeAdapter(Username)
NAME: TypeAdapter[str] = TypeAdapter(PersonName)
BIO: TypeAdapter[str] = TypeAdapter(Bio)
PASSWORD: TypeAdapter[str] = TypeAdapter(ClearPassword)

TYPES = [
    pytest.param(EMAIL, id="EmailAddress"),
    pytest.param(USERNAME, id="Username"),
    pytest.param(NAME, id="PersonName"),
    pytest.param(BIO, id="Bio"),
    pytest.param(PASSWORD, id="ClearPassword"),
]


def refusal(kind: TypeAdapter[Any], value: object) -> str:
    with pytest.raises(ValidationError) as refused:
        kind.validate_python(value)
    (error,) = refused.value.errors()
    return sentence_of(error)


# --- all of them --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(
    "value",
    [None, True, 12345678, 1.5, b"ada@example.test", ["ada@example.test"], {"$ne": ""}],
    ids=repr,
)
def test_only_strings_are_strings(kind: TypeAdapter[str], value: object) -> None:
    """N-01, N-02"""
    assert refusal(kind, value) == "This must be text."


@pytest.mark.parametrize("kind", TYPES)
def test_half_a_character_is_refused(kind: TypeAdapter[str]) -> None:
    """N-06, W-08: JSON can spell a lone surrogate, UTF-8 cannot."""
    assert refusal(kind, "ada\ud800") == (
        "This password holds something that is not a character."
        if kind is PASSWORD
        else "This holds something that is not a character."
    )


@pytest.mark.parametrize("kind", TYPES)
def test_a_megabyte_is_refused_with_a_sentence(kind: TypeAdapter[str]) -> None:
    """N-14, D-02"""
    assert refusal(kind, "a" * 1_000_000).startswith("Use at most ")


labels = st.from_regex(r"[A-Za-z0-9]{1,12}", fullmatch=True)
addresses = st.builds(
    "{}@{}.{}".format,
    st.one_of(labels, st.emails().map(lambda email: email.partition("@")[0])),
    st.one_of(labels, st.text("äßé例えxX", min_size=1, max_size=8)),
    st.sampled_from(["test", "COM", "de", "テスト"]),
)


@pytest.mark.parametrize("kind", TYPES)
@given(data=st.data())
def test_what_a_type_gives_it_takes_again_unchanged(
    kind: TypeAdapter[str], data: st.DataObject
) -> None:
    """N-09"""
    value = data.draw(st.one_of(addresses, labels, st.text(), st.text(" \r\naä.", max_size=8)))
    try:
        given_back = kind.validate_python(value)
    except ValidationError:
        return
    assert kind.validate_python(given_back) == given_back


# --- e-mail -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        pytest.param("ada@example.test", "ada@example.test", id="plain"),
        pytest.param("Ada.L+news@Example.TEST", "Ada.L+news@example.test", id="as given"),
        pytest.param("  ada@example.test ", "ada@example.test", id="blanks around"),
        pytest.param("o'hara_1-2@a-b.example.com", "o'hara_1-2@a-b.example.com", id="signs"),
        pytest.param("ada@bücher.example.com", "ada@xn--bcher-kva.example.com", id="IDNA"),
        pytest.param("ada@ｅｘａｍｐｌｅ.com", "ada@example.com", id="full width domain"),
    ],
)
def test_an_address_is_kept_as_given_but_for_its_domain(value: str, kept: str) -> None:
    """N-08"""
    assert EMAIL.validate_python(value) == kept


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param("ada", id="no sign"),
        pytest.param("ada@localhost", id="no dot in the domain"),
        pytest.param("ada@example.test,eve@example.test", id="two, by comma"),
        pytest.param("ada@example.test;eve@example.test", id="two, by semicolon"),
        pytest.param("ada@example.test eve@example.test", id="two, by blank"),
        pytest.param("ada@eve@example.test", id="two signs"),
        pytest.param("ada@example.test\n", id="a line break at the end"),
        pytest.param("ada@example.test\r\nBcc: eve@example.test", id="a header more"),
        pytest.param("Ada <ada@example.test>", id="display name"),
        pytest.param("<ada@example.test>", id="angle brackets"),
        pytest.param('"ada@evil.test"@example.test', id="quoted local part"),
        pytest.param("ada(comment)@example.test", id="comment"),
        pytest.param("ada@[127.0.0.1]", id="address literal"),
        pytest.param("ada@127.0.0.1", id="bare IP address"),
        pytest.param("\u212aen@example.test", id="KELVIN SIGN"),
        pytest.param("jürgen@example.test", id="local part beyond ASCII"),
        pytest.param("ada%evil.test@example.test", id="percent route"),
        pytest.param("evil.test!ada@example.test", id="bang path"),
        pytest.param("=?utf-8?q?=41?=@example.test", id="encoded word"),
        pytest.param("ada\0@example.test", id="NUL"),
        pytest.param("a" * 65 + "@example.test", id="local part over 64"),
        pytest.param("a@" + "b" * 60 + ".bbbbbb" * 28 + ".test", id="over 254"),
        pytest.param("a@" + ".".join(["ü" * 18] * 10) + ".test", id="over 254 after IDNA"),
        pytest.param("ada@xn--a.test", id="not IDNA"),
    ],
)
def test_what_is_no_address(value: str) -> None:
    """N-08"""
    assert refusal(EMAIL, value)


@pytest.mark.parametrize(
    "spelled",
    [
        pytest.param("Ada@Bücher.example.com", id="as registered"),
        pytest.param("ada@BÜCHER.Example.COM", id="any case"),
        pytest.param("ada@bu\u0308cher.example.com", id="ü of two code points"),
        pytest.param("ADA@XN--BCHER-KVA.example.com", id="IDNA"),
    ],
)
def test_an_address_is_found_however_its_letters_are_written(spelled: str) -> None:
    """N-08, N-09: also at sign-in, where nobody checks the address first."""
    kept = EMAIL.validate_python("Ada@Bücher.example.com")
    assert email_key(spelled) == email_key(kept) == "ada@xn--bcher-kva.example.com"
    assert email_key(EMAIL.validate_python(spelled)) == email_key(kept)


@given(addresses)
def test_an_address_is_looked_up_by_one_key_checked_or_not(address: str) -> None:
    """N-09"""
    try:
        kept = EMAIL.validate_python(address)
    except ValidationError:
        return
    assert email_key(address) == email_key(kept)


@given(st.one_of(st.text(), addresses))
def test_keys_are_idempotent(text: str) -> None:
    """N-09"""
    assert email_key(email_key(text)) == email_key(text)
    assert username_key(username_key(text)) == username_key(text)


@pytest.mark.parametrize("imposter", ["\u212aen@example.test", "\uff4ben@example.test"])
def test_no_look_alike_shares_a_key(imposter: str) -> None:
    """N-09, CVE-2019-19844: not even when nobody checked the address."""
    assert email_key(imposter) != email_key("ken@example.test")
    assert username_key(imposter) != username_key("ken@example.test")


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        pytest.param("ada", "ada", id="plain"),
        pytest.param(" Ada_L.1815-x ", "Ada_L.1815-x", id="signs, trimmed"),
        pytest.param("1815", "1815", id="digits"),
        pytest.param("adminton", "adminton", id="reserved only as a part"),
    ],
)
def test_who_may_be_called_so(value: str, kept: str) -> None:
    """N-10"""
    assert USERNAME.validate_python(value) == kept


@pytest.mark.parametrize(
    ("value", "says"),
    [
        pytest.param("", "at least 3", id="empty"),
        pytest.param(" a ", "at least 3", id="short once trimmed"),
        pytest.param("a" * 31, "at most 30", id="long"),
        pytest.param("ada@example.test", "Use the letters", id="an address"),
        pytest.param("_ada", "Use the letters", id="begins with a sign"),
        pytest.param("ada l", "Use the letters", id="a blank"),
        pytest.param("ada\nl", "Use the letters", id="a line break"),
        pytest.param("аda", "Use the letters", id="Cyrillic a"),
        pytest.param("ada٣", "Use the letters", id="an Arabic digit"),
        pytest.param("../ada", "Use the letters", id="a path"),
        pytest.param("Admin", "reserved", id="reserved, any case"),
        pytest.param("no-reply", "reserved", id="reserved, with a sign"),
        pytest.param("a.d.m.i.n", "reserved", id="reserved, with many"),
    ],
)
def test_who_may_not_be_called_so(value: str, says: str) -> None:
    """N-10"""
    assert says in refusal(USERNAME, value)


def test_reserved_names_are_written_as_they_are_compared() -> None:
    assert all(name.isascii() and name.isalpha() and name.islower() for name in RESERVED_USERNAMES)


@pytest.mark.parametrize(
    "value",
    [
        "Ada",
        "Åsa Jürgens-O'Neill",
        "毛泽",
        "नरेन्द्र",
        "\u0645\u06cc\u200c\u062e",
        "👩\u200d🚀 Eva",
        "<b>Ada</b>",
    ],
)
def test_people_have_names_of_all_scripts(value: str) -> None:
    """N-11: markup is a name like any other; the page escapes it."""
    assert NAME.validate_python(f" {value} ") == value


@pytest.mark.parametrize("kind", [pytest.param(NAME, id="name"), pytest.param(BIO, id="bio")])
@pytest.mark.parametrize(
    "sign",
    [
        pytest.param("\0", id="NUL"),
        pytest.param("\r", id="carriage return"),
        pytest.param("\x1b", id="escape"),
        pytest.param("\x85", id="next line"),
        pytest.param("\u2028", id="line separator"),
        pytest.param("\u200f", id="right-to-left mark"),
        pytest.param("\u202e", id="right-to-left override"),
        pytest.param("\u2066", id="isolate"),
    ],
)
def test_what_rearranges_the_page_is_refused(kind: TypeAdapter[str], sign: str) -> None:
    """N-11"""
    assert "cannot be seen" in refusal(kind, f"Ada{sign}Lovelace")


def test_a_name_is_one_line_and_a_bio_may_be_several() -> None:
    assert "cannot be seen" in refusal(NAME, "Ada\nLovelace")
    assert BIO.validate_python(" first\r\nsecond\n") == "first\nsecond"
    assert BIO.validate_python("") == ""


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        pytest.param(NAME, " a ", "at least 2", id="name, short once trimmed"),
        pytest.param(NAME, "ä" * 31, "at most 30", id="name, long"),
        pytest.param(BIO, "ä" * 161, "at most 160", id="bio, long"),
    ],
)
def test_how_long_a_text_may_be(kind: TypeAdapter[str], value: str, says: str) -> None:
    assert says in refusal(kind, value)


def test_a_line_break_counts_once_in_a_bio() -> None:
    """As in the page's own counter, whatever the form sends."""
    assert len(BIO.validate_python("a" * 79 + "\r\n" + "b" * 80)) == 160


# --- passwords and links ------------------------------------------------------------------------


class Body(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    password: ClearPassword
    spare: ClearPassword | None = None
    token: LinkToken = None


def test_a_password_is_taken_as_typed_and_never_printed() -> None:
    """W-05, W-16"""
    body = Body.model_validate({"password": " hush \0", "spare": "hush"})
    assert body.password == " hush \0"
    assert body.password.encode() == b" hush \0"
    assert "hush" not in repr(body) + str(body) + repr([body.password]) + repr(vars(body))


def test_a_refused_password_is_not_printed_either() -> None:
    """W-16"""
    with pytest.raises(ValidationError) as refused:
        Body.model_validate({"password": "hush" * 1000})
    assert "hush" not in str(refused.value) + repr(refused.value)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        pytest.param("", "Enter a password.", id="W-14 empty"),
        pytest.param("x" * 1025, "at most 128", id="W-02 1025 bytes"),
        pytest.param("€" * 342, "at most 128", id="W-02 1026 bytes of fewer characters"),
    ],
)
def test_what_can_be_nobodys_password(value: str, says: str) -> None:
    assert says in refusal(PASSWORD, value)


@pytest.mark.parametrize(
    "value",
    [
        None, "", [], {}, 0, True, ["abc"], {"$ne": None}, b"abc", "a b", "abc\n", "ä", "a" * 201,
        "../abc", "\ud800",
    ],
    ids=ascii,
)  # fmt: skip
def test_what_is_no_link_is_none_and_never_an_error(value: object) -> None:
    """V-10"""
    assert link_text(value) is None
    assert Body.model_validate({"password": "x", "token": value}).token is None


def test_a_missing_link_is_none_and_a_link_is_itself() -> None:
    """V-10"""
    assert Body(password="x").token is None
    assert Body(password="x", token="aZ09_-").token == "aZ09_-"
    assert link_text("a" * 200) == "a" * 200


# --- sentences ----------------------------------------------------------------------------------


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    email: EmailAddress
    remember: bool = False
    page: int = 1
    size: float = 1.0


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        pytest.param({}, "This field is required.", id="missing"),
        pytest.param({"remember": "yes"}, "This must be true or false.", id="bool"),
        pytest.param({"page": "one"}, "This must be a whole number.", id="int"),
        pytest.param({"isAdmin": True}, "There is no such field.", id="N-04 unknown"),
        pytest.param({"size": "{0}"}, "This is not right.", id="anything else"),
    ],
)
def test_a_refusal_is_a_sentence(body: dict[str, object], sentence: str) -> None:
    whole = {"email": "ada@example.test", **body} if body else body
    with pytest.raises(ValidationError) as refused:
        Form.model_validate(whole)
    assert [sentence_of(error) for error in refused.value.errors()] == [sentence]


@pytest.mark.parametrize("body", ["[]", '"text"', "null", "7"])
def test_a_body_that_is_no_object_is_a_sentence(body: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Form.model_validate_json(body)
    assert [sentence_of(error) for error in refused.value.errors()] == ["Send a JSON object."]


def test_the_schema_tells_a_client_what_to_send() -> None:
    assert EMAIL.json_schema()["format"] == "email"
    assert PASSWORD.json_schema()["writeOnly"] is True
    assert TypeAdapter(Username).json_schema()["maxLength"] == 30
    assert TypeAdapter(LinkToken).json_schema()["type"] == "string"
