from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from authkit_asgi.mail import Button, Letter, Mail
from authkit_asgi.mail.compose import Brand, compose

BRAND = Brand("Acme", "https://app.example")
LINK = "https://app.example/user/verify-token?token=abc&type=email"
LETTER = Letter(
    subject="Confirm your address",
    name="Ada",
    paragraphs=("Welcome.", "Please confirm."),
    button=Button(label="Confirm", url=LINK),
    footnotes=("Not you? Do nothing.",),
)
EVIL = "<img src=x onerror=alert(1)>\"'&{{7*7}}"


def render(letter: Letter = LETTER, *, brand: Brand = BRAND, to: str = "ada@mail.example") -> Mail:
    return compose(letter, to=to, key="verify/1", brand=brand)


class Page(HTMLParser):
    """The elements, links and words of an HTML mail."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words += data


def test_both_versions_say_the_same() -> None:
    mail = render()
    words = Page(mail.html).words
    for said in (
        "Hello",
        "Ada",
        "Welcome.",
        "Please confirm.",
        LINK,
        "Not you? Do nothing.",
        "Acme",
    ):
        assert said in words
        assert said in mail.text


def test_a_letter_without_button_or_name_has_neither_gap_nor_link() -> None:
    mail = render(Letter(subject="Your password was changed", paragraphs=("It was you?",)))
    assert mail.text == "Hello,\n\nIt was you?\n\n--\nAcme\nhttps://app.example\n"
    assert "<a " not in mail.html


@pytest.mark.parametrize(
    "letter",
    [
        pytest.param(replace(LETTER, subject=EVIL), id="subject"),
        pytest.param(replace(LETTER, name=EVIL), id="name"),
        pytest.param(replace(LETTER, paragraphs=(EVIL,)), id="paragraph"),
        pytest.param(replace(LETTER, footnotes=(EVIL,)), id="footnote"),
        pytest.param(replace(LETTER, button=Button(label=EVIL, url=LINK)), id="label"),
    ],
)
def test_what_users_wrote_is_text_and_never_markup(letter: Letter) -> None:
    """V-17: the mail has the elements of one with harmless words, and shows the rest as it is."""
    page, harmless = Page(render(letter).html), Page(render().html)
    assert set(page.tags) <= set(harmless.tags)
    assert "onerror" not in dict(page.attributes)
    assert EVIL in page.words


@pytest.mark.parametrize(
    ("name", "greeted"),
    [
        pytest.param("Ada\r\nBcc: eve@evil.test", "Hello,", id="a header"),
        pytest.param("Ada\r\n\r\nLovelace", "Hello Ada Lovelace,", id="line breaks"),
        pytest.param("Ada\x00\x1b[31m\x7f\ud800", "Hello Ada[31m,", id="control characters"),
        pytest.param("\u202eadA\u2066\u200e\ufeff", "Hello adA,", id="writing turned round"),
        pytest.param("Ada\u2028\u2029Lovelace", "Hello Ada Lovelace,", id="Unicode line breaks"),
        pytest.param("x" * 5000, f"Hello {'x' * 59}…,", id="an essay"),
        pytest.param("WIN: https://evil.test", "Hello,", id="a link"),
        pytest.param("visit evil.test now", "Hello,", id="a bare domain"),
        pytest.param("visit evil。test now", "Hello,", id="an ideographic full stop"),
        pytest.param("WWW.EVIL", "Hello,", id="www"),
        pytest.param("J. R. R. Tolkien", "Hello J. R. R. Tolkien,", id="initials"),
        pytest.param("Zoë Müller-Ōno 小野", "Hello Zoë Müller-Ōno 小野,", id="the world's names"),
        pytest.param("می\u200cخواهم", "Hello می\u200cخواهم,", id="a joiner that Persian needs"),
        pytest.param("   ", "Hello,", id="blank"),
    ],
)
def test_how_a_name_is_greeted(name: str, greeted: str) -> None:
    """V-17: no line break, no direction change, no link, no essay."""
    assert render(replace(LETTER, name=name)).text.splitlines()[0] == greeted


def test_a_subject_is_one_short_line() -> None:
    """V-17: CR and LF would start another header."""
    subject = render(replace(LETTER, subject="Hi\r\nBcc: eve@evil.test" + "!" * 999)).subject
    assert subject.startswith("Hi Bcc: eve@evil.test!!!")
    assert len(subject) == 150


def test_the_only_links_are_the_buttons() -> None:
    """V-17: links come from us alone, and nothing is loaded from anywhere."""
    html = render(replace(LETTER, paragraphs=("https://evil.test", '<a href="//evil.test">'))).html
    page = Page(html)
    addresses = {
        value for name, value in page.attributes if name in ("href", "src", "background", "srcset")
    }
    assert addresses == {LINK}
    assert not {"img", "link", "script", "iframe", "object"} & set(page.tags)
    assert not re.search(r"url\(|@import|@font-face", html)


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.test",
        "/user/verify-token",
        "https://",
        "https://app.example/a b",
        "https://app.example/\r\nBcc:",
        "ftp://app.example",
    ],
)
def test_a_link_is_a_whole_web_address(url: str) -> None:
    with pytest.raises(ValueError, match="a button's url must be"):
        render(replace(LETTER, button=Button(label="Go", url=url)))
    with pytest.raises(ValueError, match="a brand's url must be"):
        render(brand=Brand("Acme", url))


@pytest.mark.parametrize(
    ("to", "sent_to"),
    [
        pytest.param("ada@mail.example", "ada@mail.example", id="plain"),
        pytest.param("ada@bücher.example", "ada@xn--bcher-kva.example", id="a domain with umlauts"),
        pytest.param("zoë@mail.example", "zoë@mail.example", id="SMTPUTF8"),
        pytest.param("ada@a.example, eve@b.example", None, id="two"),
        pytest.param("Ada <ada@a.example>", None, id="with a name"),
        pytest.param("ada@a.example\r\nBcc: eve@b.example", None, id="a header"),
        pytest.param("ada@a.example\x00", None, id="a control character"),
        pytest.param("ada@" + "a" * 70 + ".example", None, id="a label no name server knows"),
        pytest.param("ada", None, id="no domain"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_a_mail_goes_to_exactly_one_address(to: str, sent_to: str | None) -> None:
    if sent_to is not None:
        assert render(to=to).to == sent_to
        return
    with pytest.raises(ValueError, match="exactly one address"):
        render(to=to)


def test_the_mark_is_the_names_first_letter_unless_one_is_chosen() -> None:
    assert ">A</td>" in render().html
    assert ">🦊</td>" in render(brand=Brand("Acme", "https://app.example", logo="🦊")).html


def test_it_is_dark_where_the_reader_is() -> None:
    html = render().html
    assert '<meta name="color-scheme" content="light dark">' in html
    assert "@media (prefers-color-scheme: dark)" in html
    assert "[data-ogsc] .ink" in html
    assert len(html) < 100_000  # Gmail cuts a mail off at 102 kB
