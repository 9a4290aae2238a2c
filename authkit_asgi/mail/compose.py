"""Rendering a letter as a mail: one HTML layout and one plain text for everything that we send.

Whoever signs up with somebody else's address reaches that mailbox, so a name is an attacker's
chance to speak in our voice (SECURITY V-17). Here it is neither markup, nor a header, nor a link.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from authkit_asgi.mail import Button, Letter, Mail

# Long enough for real names; too short for an advertisement.
NAME_LENGTH = 60
SUBJECT_LENGTH = 150

# What mail programs turn into a link by themselves: "evil.example", "www.", "https://".
_READS_LIKE_A_LINK = re.compile(r"://|www\.|\w[.。．｡][^\W\d_]{2}", re.IGNORECASE)

# No comma, colon or angle bracket: "ada@a.example, eve@b.example" would be two recipients.
_ONE_ADDRESS = re.compile(r"""[^\s@<>()\[\],;:\\"]+@[^\s@<>()\[\],;:\\"]+""")

# Zero-width (non-)joiners are format characters that names and emoji need.
_JOINERS = "\u200c\u200d"

_templates = Environment(
    loader=PackageLoader("authkit_asgi.mail"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    auto_reload=False,
    keep_trailing_newline=True,
)


@dataclass(frozen=True, slots=True)
class Brand:
    """Who writes: the name and address of the site.

    `logo` is a character or two (an emoji, say) on a coloured tile, the name's first letter by
    default. It is no picture: a mail that loads pictures tells the sender when it was read.
    """

    name: str
    url: str
    logo: str = ""


def compose(letter: Letter, *, to: str, key: str, brand: Brand) -> Mail:
    """Render `letter` for the one address `to`. `key` makes its sending idempotent (`Mail.key`)."""
    subject = one_line(letter.subject, cap=SUBJECT_LENGTH)
    words = {
        "subject": subject,
        "preheader": one_line(letter.paragraphs[0], cap=120) if letter.paragraphs else "",
        "name": greeted_name(letter.name),
        "paragraphs": [one_line(paragraph) for paragraph in letter.paragraphs],
        "button": _checked_button(letter.button),
        "footnotes": [one_line(footnote) for footnote in letter.footnotes],
        "brand": _checked_brand(brand),
        "site": urlsplit(brand.url).netloc,
    }
    return Mail(
        to=one_address(to),
        subject=subject,
        text=_templates.get_template("letter.txt").render(words),
        html=_templates.get_template("letter.html").render(words),
        key=key,
    )


def one_line(text: str, *, cap: int | None = None) -> str:
    """`text` without line breaks, control characters and those that turn the direction of writing.

    A line break in a subject would start a header of its own; U+202E lets `gpj.exe` read `exe.jpg`.
    """
    spaced = " ".join(text.split())
    kept = "".join(one for one in spaced if one in _JOINERS or unicodedata.category(one)[0] != "C")
    if cap is not None and len(kept) > cap:
        return kept[: cap - 1].rstrip() + "…"
    return kept


def greeted_name(name: str) -> str:
    """The name to greet, or nothing when it reads like a link: that one is meant to be clicked."""
    cleaned = one_line(name, cap=NAME_LENGTH)
    return "" if _READS_LIKE_A_LINK.search(cleaned) else cleaned


def one_address(text: str) -> str:
    """`text`, if it is exactly one address, with its domain in ASCII as mail servers want it."""
    local, _, domain = text.rpartition("@")
    try:
        address = f"{local}@{domain.encode('idna').decode('ascii')}"
    except UnicodeError:
        address = ""
    if not (address.isprintable() and _ONE_ADDRESS.fullmatch(address)):
        raise ValueError("a mail goes to exactly one address")
    return address


def _checked_button(button: Button | None) -> Button | None:
    if button is None:
        return None
    _check_link("a button's url", button.url)
    return replace(button, label=one_line(button.label))


def _checked_brand(brand: Brand) -> Brand:
    _check_link("a brand's url", brand.url)
    name = one_line(brand.name)
    return replace(brand, name=name, logo=one_line(brand.logo)[:2] or name[:1].upper())


def _check_link(what: str, url: str) -> None:
    # `javascript:` would run, a relative address leads nowhere, a space ends the link early.
    whole = url.isprintable() and " " not in url
    if not (whole and url.startswith(("http://", "https://")) and urlsplit(url).hostname):
        raise ValueError(f"{what} must be a whole http:// or https:// address")
