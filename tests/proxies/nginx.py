"""A real nginx before a real uvicorn, with whatever somebody may write into its configuration."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.serving import ROOT, environment, free_port, wait_for
from tests.world import PASSWORD

CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  proxy_cache_path {folder}/cache keys_zone=pages:1m;
  map $http_upgrade $connection_upgrade {{ default upgrade; "" close; }}
  server {{
    listen 127.0.0.1:{port} {tls};
    {certificate}
    location / {{
      proxy_pass http://{upstream};
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      {websockets}
      add_header X-Cache $upstream_cache_status always;
      {more}
    }}
  }}
}}
"""
WEBSOCKETS = """
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
"""
CACHE = "proxy_cache pages; proxy_cache_valid any 10m;"


@dataclass(frozen=True, slots=True)
class Site:
    """`url`: the proxy. `direct`: the server behind it; empty for a Unix socket."""

    url: str
    direct: str
    environment: dict[str, str]


def program() -> str:
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is not None:
        return found
    if os.environ.get("CI") == "true":
        raise RuntimeError("CI, and no nginx: scripts/nginx.sh fetches one")
    pytest.skip("no nginx: scripts/nginx.sh fetches one")


@contextmanager
def behind_nginx(
    folder: Path,
    more: str = "",
    *,
    unix: bool = False,
    websockets: bool = True,
    certificate: Path | None = None,
    app: str = "tests.proxies.app:app",
    **settings: str,
) -> Iterator[Site]:
    """`more`: directives of the location. With `unix`, the server listens on a Unix socket.
    `certificate`: a PEM file with its key and its chain, for https."""
    nginx, port, behind = program(), free_port(), free_port()
    url = f"{'https' if certificate else 'http'}://localhost:{port}"
    settings = {"AUTHKIT_BASE_URL": url, **settings}
    variables = environment(port, folder / "rows.db", **settings)
    place = ["--uds", f"{folder}/app.sock"] if unix else ["--host", "127.0.0.1"]
    server = [sys.executable, "-m", "uvicorn", app, *place, "--log-level", "warning"]
    server += ["--no-proxy-headers", "--no-access-log"]
    server += [] if unix else ["--port", str(behind)]
    upstream = f"unix:{folder}/app.sock:" if unix else f"127.0.0.1:{behind}"
    written = folder / "nginx.conf"
    named = f"ssl_certificate {certificate}; ssl_certificate_key {certificate};"
    written.write_text(
        CONFIGURATION.format(
            folder=folder,
            port=port,
            tls="ssl" if certificate else "",
            certificate=named if certificate else "",
            upstream=upstream,
            websockets=WEBSOCKETS if websockets else "",
            more=more,
        )
    )
    with ExitStack() as running:
        backend = running.enter_context(_process(server, variables))
        wait_for(folder / "app.sock" if unix else behind, backend)
        front = running.enter_context(
            _process(
                [nginx, "-p", str(folder), "-e", f"{folder}/error.log", "-c", str(written)], {}
            )
        )
        wait_for(port, front)
        direct = "" if unix else f"http://localhost:{behind}"
        yield Site(url, direct, variables)


@contextmanager
def _process(command: list[str], variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, cwd=ROOT, env=variables or None)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def make_person(site: Site, name: str) -> None:
    command = [sys.executable, "-m", "authkit_asgi", "create-user", "--verified"]
    command += ["--password-stdin", "--email", f"{name}@example.test", "--username", name]
    command += ["--firstname", name.capitalize(), "--lastname", "Lovelace"]
    subprocess.run(
        command, env=site.environment, input=PASSWORD, text=True, check=True, timeout=60, cwd=ROOT
    )
