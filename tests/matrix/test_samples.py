"""The short sample of each framework, run as its page says, and asked by a browser."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.matrix.cells import FRAMEWORKS
from tests.servers.serving import ROOT, free_port, wait_for
from tests.world import PASSWORD, registration

SAMPLES = ROOT / "sample_app" / "frameworks"
PAGE = ROOT / "docs" / "frameworks.md"


def written(framework: str) -> str:
    return (SAMPLES / f"{framework}.py").read_text()


def command_of(framework: str) -> str:
    """What stands in the sample's first lines, to be copied."""
    found = re.search(r"^uvicorn --env-file .+$", written(framework), re.MULTILINE)
    assert found
    return found[0]


def test_there_is_one_of_each() -> None:
    assert {path.stem for path in SAMPLES.glob("*.py")} == set(FRAMEWORKS)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_page_shows_it_as_it_is(framework: str) -> None:
    page = PAGE.read_text()
    _, _, code = written(framework).split('"""', 2)
    assert f"```python\n{code.strip()}\n```" in page
    assert command_of(framework) in page


@contextmanager
def served(framework: str, env_file: Path) -> Iterator[int]:
    port = free_port()
    lines = subprocess.run(
        [sys.executable, "-m", "authkit_asgi", "secret"], capture_output=True, text=True, check=True
    ).stdout
    more = {
        "BASE_URL": f"http://localhost:{port}",
        "DATABASE_URL": "memory:",
        "REQUIRE_VERIFIED_EMAIL": "false",
        "BCRYPT_ROUNDS": "4",
    }
    lines += "".join(f"AUTHKIT_{name}={value}\n" for name, value in more.items())
    env_file.write_text(lines)
    command = shlex.split(command_of(framework).replace(".env", str(env_file), 1))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AUTHKIT_")}
    command = [sys.executable, "-m", *command, "--port", str(port), "--log-level", "warning"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=ROOT, env=clean, stdout=log, stderr=log)
        try:
            wait_for(port, process)
            yield port
        finally:
            process.terminate()
            process.wait(15)
            log.seek(0)
            said = log.read().decode()
            print(said)
    assert "Traceback" not in said


@pytest.mark.servers
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_it_knows_who_asks(framework: str, tmp_path: Path) -> None:
    navigation = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}
    with (
        served(framework, tmp_path / "env") as port,
        httpx2.Client(base_url=f"http://localhost:{port}", headers=navigation, timeout=20) as ada,
    ):
        assert ada.get("/").text == "Hello, stranger"
        away = ada.get("/members")
        assert (away.status_code, away.headers["location"]) == (303, "/user/login?next=/members")
        registered = ada.post("/api/users/register", json=registration())
        assert registered.status_code == 201, registered.text
        body = {"email": "ada@example.test", "password": PASSWORD}
        assert ada.post("/api/users/login", json=body).status_code == 200
        assert ada.get("/").text == "Hello, ada"
        assert ada.get("/members").text == "For members: hello, ada"
        assert ada.get("/admin").status_code == 403
