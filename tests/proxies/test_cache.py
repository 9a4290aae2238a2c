"""A shared cache that keeps whatever it may: nobody gets another's page or cookies (SECURITY K)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import httpx2
import pytest

from tests.proxies.nginx import CACHE, Site, behind_nginx, make_person
from tests.world import PASSWORD

pytestmark = pytest.mark.servers
SAYS = ("public", "shared", "accel", "nothing")
_pages = count()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with behind_nginx(tmp_path_factory.mktemp("nginx"), CACHE) as running:
        for name in ("ada", "bob"):
            make_person(running, name)
        yield running


def signed_in(site: Site, name: str) -> dict[str, str]:
    body = {"email": f"{name}@example.test", "password": PASSWORD}
    own = {"sec-fetch-site": "same-origin"}
    answer = httpx2.post(f"{site.url}/api/users/login", json=body, headers=own)
    assert answer.status_code == 200, answer.text
    return dict(answer.cookies)


def get(site: Site, path: str, cookies: dict[str, str] | None = None) -> httpx2.Response:
    sent = "; ".join(f"{name}={value}" for name, value in (cookies or {}).items())
    return httpx2.get(f"{site.url}{path}", headers={"cookie": sent} if sent else {})


def new_page(place: str, says: str) -> str:
    """One that no cache has seen yet."""
    return f"/{place}/{says}/{next(_pages)}.css"


@pytest.mark.parametrize("says", SAYS)
def test_what_nobody_in_particular_asked_for_is_kept(site: Site, says: str) -> None:
    """Or the cache of these tests proves nothing."""
    path = new_page("open", says)
    first, second = get(site, path), get(site, path)
    assert (first.headers["x-cache"], second.headers["x-cache"]) == ("MISS", "HIT")
    assert first.json()["name"] == second.json()["name"] == ""
    assert second.json()["asked"] == 1


@pytest.mark.parametrize("place", ["open", "members"])
@pytest.mark.parametrize("says", SAYS)
def test_nobody_gets_the_cookies_of_a_refresh(site: Site, says: str, place: str) -> None:
    """K-01, K-03: the answer to a refresh, on a page that the app gives to everybody."""
    path = new_page(place, says)
    refreshing = signed_in(site, "ada")
    del refreshing["token"]
    own = get(site, path, refreshing)
    assert own.json()["name"] == "ada"
    assert len(own.headers.get_list("set-cookie")) == 2
    first, *others = get(site, path), get(site, path, {"theme": "dark"}), get(site, path)
    assert first.headers["x-cache"] != "HIT"
    for other in (first, *others):
        assert "set-cookie" not in other.headers
        assert "ada" not in other.text


@pytest.mark.parametrize("place", ["open", "members"])
@pytest.mark.parametrize("says", SAYS)
def test_nobody_gets_a_page_that_was_made_for_somebody(site: Site, says: str, place: str) -> None:
    """K-02, K-09: a page that names whoever asks, and is called a style sheet."""
    path = new_page(place, says)
    ada, bob = signed_in(site, "ada"), signed_in(site, "bob")
    for _ in range(2):
        assert get(site, path, ada).json()["name"] == "ada"
        assert get(site, path, ada).headers["x-cache"] != "HIT"
    assert "ada" not in get(site, path).text
    if place == "members":  # a public page, once kept for strangers, is anybody's
        assert get(site, path).status_code == 401
        assert get(site, path, bob).json()["name"] == "bob"


def test_being_turned_away_and_the_kits_own_answers_are_kept_by_nobody(site: Site) -> None:
    """K-04."""
    ada = signed_in(site, "ada")
    page = new_page("members", "public")
    paths = (page, "/user/login", "/api/users/session", "/user/dashboard", "/api/users/nothing")
    for path in paths:
        for _ in range(2):
            assert get(site, path).headers["x-cache"] != "HIT", path
    assert get(site, page, ada).status_code == 200
    assert "ada" in get(site, "/api/users/session", ada).text
    assert "ada" not in get(site, "/api/users/session").text
