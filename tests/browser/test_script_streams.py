"""Bodies that are streams: Chromium sends them over HTTP/2 alone, so by hypercorn and TLS."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.people import make_user
from tests.browser.tabs import TOKEN, Tabs
from tests.servers.serving import ROOT, Server, environment, free_port, wait_for

pytestmark = pytest.mark.browser

STREAM = """async () => {
  const body = new Blob(["a long ", "upload"]).stream();
  const sent = call("/service", { method: "POST", body, duplex: "half" });
  return sent.then((a) => a.json(), (e) => [e.name, e.code, e.response.status, e.message]);
}"""


class SecureServer(Server):
    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs the openssl command")
    path = tmp_path_factory.mktemp("certificate") / "both.pem"
    make = f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout {path}"
    subprocess.run(
        [*make.split(), "-out", path.with_suffix(".crt")], check=True, capture_output=True
    )
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificate: Path) -> Iterator[Server]:
    port = free_port()
    where = {"AUTHKIT_BASE_URL": f"https://localhost:{port}"}
    variables = environment(port, tmp_path_factory.mktemp("streams") / "authkit.db", **where)
    command = [sys.executable, "-m", "hypercorn", "tests.browser.reach:app"]
    command += ["--bind", f"127.0.0.1:{port}", "--graceful-timeout", "1"]
    command += ["--keyfile", str(certificate), "--certfile", str(certificate.with_suffix(".crt"))]
    process = subprocess.Popen(command, cwd=ROOT, env=variables, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        running = SecureServer(port, process, variables)
        make_user(running, "Ada")
        yield running
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def test_a_stream_is_sent_once_and_the_refusal_says_why(chromium: Browser, server: Server) -> None:
    """SECURITY S-22."""
    with chromium.new_context(ignore_https_errors=True) as context:
        tabs = Tabs(server, context, "ada@example.test")
        tab = tabs.member()
        assert tab.evaluate(STREAM) == {"method": "POST", "body": "a long upload"}
        tabs.token_runs_out()
        tabs.tell()
        name, code, status, message = tab.evaluate(STREAM)
        assert (name, code, status) == ("AuthKitError", "body_not_replayable", 401)
        assert "cannot be sent twice" in message
        assert tabs.asked() == {"POST /service": 1, TOKEN: 1}
        # The refresh has happened all the same: sent anew, it works.
        assert tab.evaluate(STREAM) == {"method": "POST", "body": "a long upload"}
        assert tabs.thrown == []
