from __future__ import annotations

import inspect
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authkit_asgi.core.paths import (
    MAX_NEXT,
    Access,
    PathRules,
    Rule,
    is_path,
    safe_next,
)

EXCLUDED, PUBLIC, AUTH, PROTECTED = Access

RULES = PathRules(
    public=["/", "/docs", "/public/*", "/shop/*", "/caf\u00e9"],
    auth=["/login"],
    protected=["/public/admin/*", "/shop/checkout"],
    exclude=["/static/*", "/public/admin/logo.svg"],
)
OPEN = PathRules(protected=["/admin", "/members/*", "/exact/"], default="public")

# Whatever stands around one of these is protected, whatever the rules say.
STRANGE = [
    pytest.param("//", id="P-05 nothing but slashes"),
    pytest.param("/public//x", id="P-05 an empty segment"),
    pytest.param("//public/x", id="P-05 a host in disguise"),
    pytest.param("/public/../admin", id="P-05 up and over"),
    pytest.param("/public/..", id="P-05 up at the end"),
    pytest.param("/public/./x", id="P-05 a dot segment"),
    pytest.param("/public/.", id="P-05 a dot at the end"),
    pytest.param("/../public/x", id="P-05 up at the start"),
    pytest.param("/public/x;v=1", id="P-05 a path parameter"),
    pytest.param("/admin;/../public/x", id="P-05 a parameter and up"),
    pytest.param("/public/..;/admin", id="P-05 up with a parameter"),
    pytest.param("/public/.. /admin", id="P-05 up and a blank"),
    pytest.param("/public/\u2003../admin", id="P-05 a blank and up"),
    pytest.param("/public/. ./admin", id="P-05 up, with a blank within"),
    pytest.param("/public/ ", id="P-05 a blank segment"),
    pytest.param("/public/ /x", id="P-05 a blank segment within"),
    pytest.param("/public/%2e%2e/admin", id="P-06 decoded once, and encoded still"),
    pytest.param("/%70ublic/x", id="P-06 decoded twice it would be public"),
    pytest.param("/public/%61", id="P-06 encoded still, below what is public"),
    pytest.param("/public/%", id="P-06 a lone percent sign"),
    pytest.param("/public\\..\\admin", id="P-04 backslashes"),
    pytest.param("/public/x\x00.png", id="P-04 NUL"),
    pytest.param("/public/x\n", id="P-04 a line feed at the end"),
    pytest.param("/public/\rx", id="P-04 a carriage return"),
    pytest.param("/public/\tx", id="P-04 a tab"),
    pytest.param("/public/x\x1f", id="P-04 the last of C0"),
    pytest.param("/public/x\x7f", id="P-04 DEL"),
    pytest.param("/public/x\x80", id="P-04 the first of C1"),
    pytest.param("/public/x\x9f", id="P-04 the last of C1"),
    pytest.param("/public/\ufffd", id="P-04 what was not UTF-8"),
    pytest.param("/public/\udcff", id="P-04 what was not UTF-8, escaped"),
    pytest.param("/public/x#y", id="P-04 a fragment"),
    pytest.param("/public/x?y", id="P-04 a question mark"),
    pytest.param("", id="P-03 nothing"),
    pytest.param("*", id="P-03 the server itself"),
    pytest.param("public/x", id="P-03 no slash"),
    pytest.param("@evil", id="P-03 an authority"),
    pytest.param("http://evil/public/x", id="P-03 a whole URL"),
]


@pytest.mark.parametrize(
    ("path", "access"),
    [
        pytest.param("/anything", PROTECTED, id="P-01 what no rule names"),
        pytest.param("/", PUBLIC, id="P-01 the root by its name"),
        pytest.param("/docs", PUBLIC, id="P-07 exact"),
        pytest.param("/docs/more", PROTECTED, id="P-07 exact is not below"),
        pytest.param("/docsx", PROTECTED, id="P-07 exact is no prefix"),
        pytest.param("/public/x", PUBLIC, id="P-07 below"),
        pytest.param("/public/x/y", PUBLIC, id="P-07 far below"),
        pytest.param("/public", PROTECTED, id="P-07 below is not itself"),
        pytest.param("/publicity", PROTECTED, id="P-07 only shares letters"),
        pytest.param("/public-admin/x", PROTECTED, id="P-07 only shares letters, and goes on"),
        pytest.param("/x/public/x", PROTECTED, id="P-07 not at the start"),
        pytest.param("/public/admin/users", PROTECTED, id="longer below wins"),
        pytest.param("/public/admin", PUBLIC, id="longer below does not name itself"),
        pytest.param("/public/admin/logo.svg", EXCLUDED, id="exact wins over below"),
        pytest.param("/shop/checkout", PROTECTED, id="exact wins, and closes"),
        pytest.param("/static/app.js", EXCLUDED, id="excluded"),
        pytest.param("/login", AUTH, id="for visitors only"),
        pytest.param("/login/secret", PROTECTED, id="P-08 public is not public below"),
        pytest.param("/login/", PROTECTED, id="P-08 another path with a slash"),
        pytest.param("/docs/", PROTECTED, id="P-08 exact is without the slash"),
        pytest.param("/public/", PROTECTED, id="P-08 as strict as without the slash"),
        pytest.param("/public/x/", PUBLIC, id="P-08 a slash below"),
        pytest.param("/shop/checkout/", PROTECTED, id="P-08 a protected path with a slash"),
        pytest.param("/DOCS", PROTECTED, id="P-09 upper case"),
        pytest.param("/Public/x", PROTECTED, id="P-09 mixed case"),
        pytest.param("/caf\u00e9", PUBLIC, id="letters beyond ASCII"),
        pytest.param("/cafe\u0301", PROTECTED, id="the same letters, composed otherwise"),
        pytest.param("/public/a..b/.well-known/...", PUBLIC, id="dots that are no segments"),
    ],
)
def test_the_most_specific_pattern_wins(path: str, access: Access) -> None:
    assert RULES.match(path) is access


@pytest.mark.parametrize("path", STRANGE)
@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(RULES, id="protected by default"),
        pytest.param(PathRules(public=["/", "/*"], default="public"), id="all public"),
        pytest.param(PathRules(exclude=["/", "/*"]), id="all excluded"),
        pytest.param(PathRules(auth=["/", "/*"]), id="all for visitors"),
    ],
)
def test_a_path_that_routers_read_in_two_ways_is_protected(path: str, rules: PathRules) -> None:
    """SECURITY P-03, P-04, P-05, P-06."""
    assert rules.match(path) is PROTECTED
    if is_path(path):
        assert rules.match(f"/app{path}", "/app") is PROTECTED


@pytest.mark.parametrize(
    ("path", "access"),
    [
        pytest.param("/", PUBLIC, id="the root"),
        pytest.param("/anything", PUBLIC, id="what no rule names"),
        pytest.param("/admin", PROTECTED, id="exact"),
        pytest.param("/admin/", PROTECTED, id="P-08 Litestar serves it with a slash"),
        pytest.param("/members/", PROTECTED, id="below, and nothing there"),
        pytest.param("/members/list", PROTECTED, id="below"),
        pytest.param("/exact/", PROTECTED, id="exact with a slash"),
        pytest.param("/exact", PROTECTED, id="P-08 and without it"),
    ],
)
def test_a_public_default_leaves_protected_what_is_named(path: str, access: Access) -> None:
    assert OPEN.match(path) is access


@pytest.mark.parametrize(
    ("root_path", "path", "access"),
    [
        pytest.param("", "/docs", PUBLIC, id="no root"),
        pytest.param("/app", "/docs", PUBLIC, id="the server had cut the root off"),
        pytest.param("/app", "/app/docs", PUBLIC, id="P-10 the app's own path"),
        pytest.param("/app", "/app", PUBLIC, id="P-10 the app's root"),
        pytest.param("/app", "/app/", PUBLIC, id="P-10 the app's root with a slash"),
        pytest.param("/app", "/app/app/docs", PROTECTED, id="P-10 cut off once"),
        pytest.param("/app", "/app/other", PROTECTED, id="P-10 named by no rule"),
        pytest.param("/public", "/public/admin", PROTECTED, id="P-10 the root looks public"),
        pytest.param("/shop", "/shop/docs", PUBLIC, id="P-10 both ways public"),
        pytest.param("/do", "/docs", PROTECTED, id="P-10 some read /cs"),
        pytest.param("/public/x", "/public/xyz", PROTECTED, id="P-10 some read /yz"),
        pytest.param("/app", "/appdocs", PROTECTED, id="P-10 others than some read /appdocs"),
        pytest.param("/", "/docs", PUBLIC, id="a root that is none"),
        pytest.param("/app", "/public/app/admin", PROTECTED, id="P-10 Litestar reads /admin"),
        pytest.param("/app", "/public/app/docs", PUBLIC, id="P-10 the root within, both public"),
        pytest.param("/app", "/public/x/app", PUBLIC, id="P-10 Litestar reads /"),
        pytest.param("pub", "/public/admin", PROTECTED, id="P-10 a root without its slash"),
    ],
)
def test_the_rules_see_the_path_within_the_app(root_path: str, path: str, access: Access) -> None:
    assert RULES.match(path, root_path) is access


@pytest.mark.parametrize(
    ("root_path", "path"),
    [
        pytest.param("/admin", "/admin", id="P-10 closed as a whole path"),
        pytest.param("/members", "/members/x", id="P-10 closed as a whole path, below"),
        pytest.param("/api", "/api/admin", id="P-10 closed within the app"),
        pytest.param("/api", "/apiadmin", id="P-10 Litestar and Quart read /admin"),
        pytest.param("/api/", "/api/admin", id="P-10 a root that ends with a slash"),
    ],
)
def test_of_two_readings_the_stricter_wins(root_path: str, path: str) -> None:
    assert OPEN.match(path, root_path) is PROTECTED


@pytest.mark.parametrize(
    ("raw_path", "access"),
    [
        pytest.param(None, PUBLIC, id="a server that has none"),
        pytest.param(b"/public/x", PUBLIC, id="nothing encoded"),
        pytest.param(b"/public/%78", PUBLIC, id="a letter encoded"),
        pytest.param(b"/public%2Fx", PROTECTED, id="P-05 an encoded slash"),
        pytest.param(b"/public%2fx", PROTECTED, id="P-05 an encoded slash in lower case"),
        pytest.param(b"/public%5Cx", PROTECTED, id="P-05 an encoded backslash"),
        pytest.param(b"/public/x?next=%2Fhome", PUBLIC, id="a server that leaves the query on"),
    ],
)
def test_an_encoded_slash_opens_nothing(raw_path: bytes | None, access: Access) -> None:
    RULES.match("/public/x")  # remembered, and judged all the same
    assert RULES.match("/public/x", "", raw_path) is access


def test_nothing_but_the_path_has_a_say() -> None:
    """SECURITY P-02, P-11: neither a header nor the method can be handed in."""
    arguments = inspect.signature(RULES.match).parameters
    assert list(arguments) == ["path", "root_path", "raw_path"]


SEGMENTS = st.text(st.sampled_from(string.ascii_letters + "._-~ é"), min_size=1, max_size=6)
PATHS = st.lists(SEGMENTS | st.sampled_from(["public", "..", "."])).map("/".join)
TRICKS = st.sampled_from(["//", "/./", "/../", "\\", ";", "%2e", "\n", "\x00", "\x85", "\ufffd"])


@given(before=PATHS, trick=TRICKS, after=PATHS)
def test_a_strange_path_is_never_open(before: str, trick: str, after: str) -> None:
    everything = PathRules(public=["/", "/*"], exclude=["/public/*"], default="public")
    assert everything.match(f"/{before}{trick}{after}") is PROTECTED


@given(st.text() | PATHS.map(lambda path: f"/{path}") | PATHS.map(lambda path: f"/public{path}"))
def test_below_public_is_open_and_nothing_else(path: str) -> None:
    """SECURITY P-07, said a second time by a regular expression."""
    rules = PathRules(public=["/public/*"])
    plain = r"(?!\.\.?(/|\Z))[^/\\;#?%\x00-\x1f\x7f-\x9f\ufffd\ud800-\udfff]+"
    inside = re.fullmatch(rf"/public(/{plain})+/?", path)
    assert (rules.match(path) is PUBLIC) == bool(inside)


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param("", id="nothing"),
        pytest.param("docs", id="no slash"),
        pytest.param("*", id="everything"),
        pytest.param("/docs*", id="a star within a segment"),
        pytest.param("/*/docs", id="a star in the middle"),
        pytest.param("/docs/**", id="two stars"),
        pytest.param("/docs/*.html", id="a star and more"),
        pytest.param("/users/{id}", id="a parameter"),
        pytest.param("//docs", id="two slashes"),
        pytest.param("/docs//*", id="two slashes and a star"),
        pytest.param("/docs/../x", id="up"),
        pytest.param("/docs?x", id="a query"),
        pytest.param("/my%20docs", id="encoded"),
        pytest.param("/docs\n", id="a line feed"),
        pytest.param("https://app.example/docs", id="a URL"),
    ],
)
def test_a_pattern_that_would_never_match_is_refused_by_name(pattern: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(pattern))):
        PathRules(public=[pattern])


def test_a_pattern_stands_in_one_list() -> None:
    with pytest.raises(ValueError, match="'/docs/\\*' stands in two lists"):
        PathRules(public=["/docs/*"], protected=["/docs/*"])
    assert PathRules(public=["/docs", "/docs"]).match("/docs") is PUBLIC


def test_a_bare_string_is_not_a_list_of_patterns() -> None:
    with pytest.raises(ValueError, match="give a list"):
        PathRules(public="/docs")


def test_the_default_is_protected_or_public() -> None:
    with pytest.raises(ValueError, match="default='auth'"):
        PathRules(default="auth")


@pytest.mark.parametrize("target", ["login", "//evil", "https://evil.example"])
def test_login_and_home_are_paths_of_this_site(target: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(target))):
        PathRules(login=target)
    with pytest.raises(ValueError, match=re.escape(repr(target))):
        PathRules(home=target)


def test_the_kits_own_rules_win_over_the_apps() -> None:
    rules = PathRules(public=["/user/*", "/api/users/profile"], default="public", home="/me")
    own = rules.with_own({"/api/users/profile": PROTECTED, "/user/login": AUTH, "/user/*": PUBLIC})
    assert own.match("/api/users/profile") is PROTECTED
    assert own.match("/user/login") is AUTH
    assert own.match("/elsewhere") is PUBLIC
    assert (own.login, own.home) == (rules.login, "/me")
    assert rules.match("/api/users/profile") is PUBLIC, "the app's rules stay as they were"


@pytest.mark.parametrize(
    ("rules", "path", "access"),
    [
        pytest.param(
            PathRules(public=["/static/*"], protected=["/static/private/*"]),
            "/static/PRIVATE/x",
            PROTECTED,
            id="below",
        ),
        pytest.param(
            PathRules(public=["/s/*"], protected=[Rule("/s/secret", scope="admin")]),
            "/s/SECRET",
            PROTECTED,
            id="exactly",
        ),
        pytest.param(
            PathRules(exclude=["/s/*"], protected=["/s/secret"]),
            "/s/Secret/",
            PROTECTED,
            id="with a slash at its end",
        ),
        pytest.param(
            PathRules(default="public", protected=["/admin/*"]), "/ADMIN/x", PROTECTED, id="default"
        ),
        pytest.param(
            PathRules(default="public", protected=["/Admin/*"]), "/admin/x", PROTECTED, id="upward"
        ),
        pytest.param(
            PathRules(default="public", protected=["/stra\u00dfe/*"]),
            "/STRASSE/x",
            PROTECTED,
            id="beyond ASCII",
        ),
        pytest.param(
            PathRules(public=["/s/*", "/s/Open/*"], protected=["/s/open"]),
            "/s/Open/x",
            PUBLIC,
            id="not what lies below it",
        ),
        pytest.param(
            PathRules(protected=["/docs/*"], public=["/DOCS/v1/*"]),
            "/DOCS/v1/x",
            PUBLIC,
            id="opened to the letter by a more specific one",
        ),
        pytest.param(
            PathRules(public=["/Docs"], protected=["/docs"]), "/Docs", PUBLIC, id="named itself"
        ),
        pytest.param(
            PathRules(public=["/docs/v1/*"], protected=["/docs/*"]),
            "/docs/v1/X",
            PUBLIC,
            id="not by a wider one",
        ),
    ],
)
def test_what_is_closed_is_closed_in_every_case(
    rules: PathRules, path: str, access: Access
) -> None:
    """SECURITY P-09: files and some routers do not tell upper from lower case."""
    assert rules.match(path) is access
    assert rules.match(path, "/root") is access
    assert rules.match(f"/root{path}", "/root") is access


SECRETS = PathRules(
    public=["/s/*"],
    protected=[
        "/s/secret.txt",
        Rule("/s/closed/*", verified=True),
        "/s/end./x",
        "/s/items:batch",
    ],
)


@pytest.mark.parametrize(
    ("path", "access"),
    [
        pytest.param("/s/secret.txt.", PROTECTED, id="a dot at the end"),
        pytest.param("/s/SECRET.txt. .", PROTECTED, id="dots and blanks at the end"),
        pytest.param("/s/secret.txt::$DATA", PROTECTED, id="a stream of a file"),
        pytest.param("/s/closed /x", PROTECTED, id="a blank within"),
        pytest.param("/s/closed:x/x", PROTECTED, id="a stream within"),
        pytest.param("/s/end/x", PROTECTED, id="a pattern with such a name"),
        pytest.param("/s/secret.txt.bak", PUBLIC, id="another file"),
        pytest.param("/s/a:b", PUBLIC, id="a name that nobody closes"),
        pytest.param("/s/" + ". " * 50_000 + "x", PUBLIC, id="at once, however long it is"),
        pytest.param("/s/items", PUBLIC, id="no file of a stream"),
        pytest.param("/s/items:batch", PROTECTED, id="a pattern with a colon"),
        pytest.param("/s/ITEMS:BATCH", PROTECTED, id="a pattern with a colon, in another case"),
    ],
)
def test_what_is_closed_is_closed_by_the_names_that_windows_has_for_it(
    path: str, access: Access
) -> None:
    """SECURITY P-09: `secret.txt.` opens the file `secret.txt` there."""
    assert SECRETS.match(path) is access
    assert SECRETS.match(f"/root{path}", "/root") is access
    assert (SECRETS.ruling(path)[1] is not None) == path.startswith("/s/closed")


def test_the_kits_own_rules_are_checked_too() -> None:
    with pytest.raises(ValueError, match=re.escape("sessions/{id}")):
        PathRules().with_own({"/api/users/sessions/{id}": PROTECTED})


@pytest.mark.parametrize("target", ["", "*", "@evil", "admin", "http://evil/x", "evil:443"])
def test_a_request_target_may_be_no_path(target: str) -> None:
    """SECURITY P-03."""
    assert not is_path(target)
    assert is_path(f"/{target}")


@pytest.mark.parametrize(
    "value",
    [
        "/",
        "/dashboard",
        "/dashboard/",
        "/search?q=a%20b&page=2",
        "/search?q=%5C%0A//x/../y",
        "/my%20files/%C3%BC",
        "/docs#top",
        "/a:b@c",
        "/" + "x" * (MAX_NEXT - 1),
    ],
)
def test_a_path_on_this_site_may_be_next(value: str) -> None:
    assert safe_next(value) == value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="R-02 nothing"),
        pytest.param(["/dashboard"], id="R-02 a list"),
        pytest.param(7, id="R-02 a number"),
        pytest.param(b"/dashboard", id="R-02 bytes"),
        pytest.param({"to": "/dashboard"}, id="R-02 an object"),
        pytest.param("", id="empty"),
        pytest.param("dashboard", id="no slash"),
        pytest.param("https://evil.example", id="R-01 a scheme"),
        pytest.param("javascript:alert(1)", id="R-01 a script"),
        pytest.param("//evil.example", id="R-01 a host"),
        pytest.param("///evil.example", id="R-01 a host behind a slash"),
        pytest.param("/\\evil.example", id="R-01 a backslash"),
        pytest.param("\\\\evil.example", id="R-01 two backslashes"),
        pytest.param("/a\\b", id="R-01 a backslash later"),
        pytest.param("/\t/evil.example", id="R-01 a tab, which browsers drop"),
        pytest.param("/\n/evil.example", id="R-01 a line feed, which browsers drop"),
        pytest.param("/a\r\nSet-Cookie: x=1", id="R-01 a header"),
        pytest.param("/a b", id="R-01 a space"),
        pytest.param(" /dashboard", id="R-01 a space in front"),
        pytest.param("/dashboard?q=\x00", id="R-01 NUL in the query"),
        pytest.param("/\x7f", id="R-01 DEL"),
        pytest.param("/%2fevil.example", id="R-01 an encoded slash"),
        pytest.param("/%2F%2Fevil.example", id="R-01 two encoded slashes"),
        pytest.param("/%5cevil.example", id="R-01 an encoded backslash"),
        pytest.param("/%09/evil.example", id="R-01 an encoded tab"),
        pytest.param("/a%0d%0aSet-Cookie:x=1", id="R-01 an encoded header"),
        pytest.param("/..//evil.example", id="R-01 up, and a host"),
        pytest.param("/%2e%2e//evil.example", id="R-01 up, encoded, and a host"),
        pytest.param("/.//evil.example", id="R-01 here, and a host"),
        pytest.param("/a/../admin", id="R-01 up"),
        pytest.param("/\u00fc", id="not ASCII"),
        pytest.param("/\u2028x", id="a line separator"),
        pytest.param("/\ud800", id="half a character"),
        pytest.param("/" + "x" * MAX_NEXT, id="R-01 over 2048 characters"),
    ],
)
def test_anything_else_may_not_be_next(value: object) -> None:
    assert safe_next(value) is None


@given(st.text(st.sampled_from("/\\.%2f5c09\t\n @:?#ae"), max_size=12))
def test_next_never_names_another_host(value: str) -> None:
    allowed = safe_next(value)
    assert allowed is None or re.match(r"/(?![/\\])(?!%2f|%5c)", allowed, re.IGNORECASE)
