"""Whose address it is, behind a real nginx: over TCP, and over a Unix socket."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from tests.proxies.nginx import behind_nginx, make_person
from tests.world import PASSWORD

pytestmark = pytest.mark.servers
NGINX = "127.0.0.2"
OWN = {"sec-fetch-site": "same-origin"}


@pytest.mark.parametrize(
    ("unix", "trusted", "seen"),
    [
        pytest.param(False, NGINX, "127.0.0.1", id="TCP"),
        pytest.param(True, "unix", "127.0.0.1", id="a Unix socket"),
        pytest.param(True, NGINX, "", id="a Unix socket that nobody named"),
        pytest.param(True, "unix,127.0.0.1", "6.6.6.6", id="the visitor is a proxy, too"),
    ],
)
def test_the_address_is_the_one_that_nginx_saw(
    unix: bool, trusted: str, seen: str, tmp_path: Path
) -> None:
    """I-07: whatever a visitor writes into the header, nginx adds the address that it sees."""
    bound = "" if unix else f"proxy_bind {NGINX};"
    with behind_nginx(tmp_path, bound, unix=unix, AUTHKIT_TRUSTED_PROXIES=trusted) as site:
        make_person(site, "ada")
        body = {"email": "ada@example.test", "password": PASSWORD}
        lies = {**OWN, "x-forwarded-for": "6.6.6.6", "forwarded": "for=6.6.6.6"}
        signed_in = httpx2.post(f"{site.url}/api/users/login", json=body, headers=lies)
        assert signed_in.status_code == 200, signed_in.text
        cookies = dict(signed_in.cookies)
        told = httpx2.get(f"{site.url}/api/users/sessions", cookies=cookies).json()
    assert [one["ip"] for one in told["data"]["sessions"]] == [seen]
