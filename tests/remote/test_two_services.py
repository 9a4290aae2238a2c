"""Two real servers behind one host: one has the accounts, the other only verifies."""

from __future__ import annotations

import asyncio
import base64
import json
import signal

import httpx2
import pytest

from tests.remote.conftest import Town, hold, sign_in, tokens_of

pytestmark = pytest.mark.servers


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # what the servers run on; the guard itself is tried on both elsewhere


def generation(token: str) -> int:
    payload = token.split(".")[1]
    found: int = json.loads(base64.urlsafe_b64decode(payload + "=="))["gen"]
    return found


async def test_one_sign_in_opens_both(town: Town, browser: httpx2.AsyncClient) -> None:
    reports = f"{town.reports.url}/reports"
    refused = await browser.get(reports)
    assert (refused.status_code, refused.json()["code"]) == (401, "not_signed_in")
    await sign_in(browser, town)
    answer = await browser.get(reports)
    assert (answer.status_code, answer.json()["name"]) == (200, "ada")
    assert "set-cookie" not in answer.headers
    browser.headers["sec-fetch-site"] = "cross-site"
    assert (await browser.post(reports)).json()["code"] == "cross_site"


async def test_an_expired_token_is_exchanged_at_the_account_service(
    town: Town, browser: httpx2.AsyncClient
) -> None:
    """Within the request: the app sees who asks, and the cookies that now hold."""
    before = await sign_in(browser, town)
    hold(browser, refreshToken=before["refreshToken"])
    answer = await browser.get(f"{town.reports.url}/reports")
    after = tokens_of(browser)
    assert answer.json() == {"name": "ada", "cookies": after}
    assert generation(after["token"]) == generation(before["token"]) + 1
    assert answer.headers["cache-control"] == "private, no-store"
    for url in (f"{town.accounts.url}/home", f"{town.reports.url}/reports"):
        assert (await browser.get(url)).status_code == 200


async def test_twenty_at_once_are_one_exchange(town: Town, browser: httpx2.AsyncClient) -> None:
    before = await sign_in(browser, town)
    sent = {"cookie": f"refreshToken={before['refreshToken']}"}
    hold(browser)
    urls = [f"{town.reports.url}/reports", f"{town.accounts.url}/home"] * 10
    answers = await asyncio.gather(*(browser.get(url, headers=sent) for url in urls))
    assert [answer.status_code for answer in answers] == [200] * 20
    assert {generation(one.cookies["token"]) for one in answers} == {1}


async def test_a_sign_out_counts_at_the_next_exchange(
    town: Town, browser: httpx2.AsyncClient
) -> None:
    """The bound that the page on services names: the access token's own end."""
    before = await sign_in(browser, town)
    answer = await browser.post(f"{town.accounts.url}/api/users/logout")
    assert answer.status_code == 200
    hold(browser, token=before["token"])
    assert (await browser.get(f"{town.reports.url}/reports")).status_code == 200
    hold(browser, refreshToken=before["refreshToken"])
    answer = await browser.get(f"{town.reports.url}/reports")
    assert answer.status_code == 401
    cleared = answer.headers.get_list("set-cookie")
    assert [one.partition(";")[0] for one in cleared] == ["token=", "refreshToken="]


async def test_a_token_that_nobody_knows_clears_nothing(
    town: Town, browser: httpx2.AsyncClient
) -> None:
    for garbage in ("x.y.z", "nonsense", "x.y.z%0d%0aX: y"):
        hold(browser, refreshToken=garbage)
        answer = await browser.get(f"{town.reports.url}/reports")
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers


async def test_an_outage_of_the_account_service_signs_nobody_out(
    town: Town, browser: httpx2.AsyncClient
) -> None:
    held = await sign_in(browser, town)
    assert (await browser.get(f"{town.reports.url}/reports")).status_code == 200
    town.accounts.stop(signal.SIGKILL)
    assert (await browser.get(f"{town.reports.url}/reports")).status_code == 200
    hold(browser, refreshToken=held["refreshToken"])
    answer = await browser.get(f"{town.reports.url}/reports")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "retry-after" in answer.headers
    assert "set-cookie" not in answer.headers
    assert (await browser.get(f"{town.reports.url}/open")).status_code == 200
    town.accounts.start()
    assert (await browser.get(f"{town.reports.url}/reports")).status_code == 200


async def test_a_service_that_starts_first_waits_for_the_keys(
    town: Town, browser: httpx2.AsyncClient
) -> None:
    held = await sign_in(browser, town)
    town.accounts.stop()
    town.reports.restart()
    hold(browser, token=held["token"])
    answer = await browser.get(f"{town.reports.url}/reports")
    assert answer.status_code == 503
    assert "set-cookie" not in answer.headers
    assert (await browser.get(f"{town.reports.url}/open")).status_code == 200
    hold(browser)
    assert (await browser.get(f"{town.reports.url}/reports")).status_code == 401
    town.accounts.start()
    hold(browser, token=held["token"])
    until = asyncio.get_running_loop().time() + 30
    while (answer := await browser.get(f"{town.reports.url}/reports")).status_code == 503:
        assert asyncio.get_running_loop().time() < until
        await asyncio.sleep(0.5)
    assert answer.status_code == 200


async def test_keys_are_rotated_while_both_run(town: Town, browser: httpx2.AsyncClient) -> None:
    """T-15: even without the step of adding the new key first."""
    old = town.accounts.variables["AUTHKIT_ACCESS_KEYS"]
    town.reports.restart()
    held = await sign_in(browser, town)
    assert (await browser.get(f"{town.reports.url}/reports")).status_code == 200
    new = town.new_keys("second")
    town.accounts.restart(AUTHKIT_ACCESS_KEYS=f"{new},{old}.pub")
    newer = await sign_in(browser, town)
    assert newer["token"].split(".")[0] != held["token"].split(".")[0]
    await asyncio.sleep(0.1)
    for token in (newer["token"], held["token"]):
        hold(browser, token=token)  # nothing to exchange
        assert (await browser.get(f"{town.reports.url}/reports")).status_code == 200
