"""Keeps workers alive: imports once, forks, and forks again whenever one dies.

`nursery.py <listening socket's descriptor> <workers>`. A new worker takes a tenth of a second, and
whoever connects meanwhile waits in the socket's queue. It says `+ pid` and `- pid`; a `k` on its
standard input kills its eldest worker, and the end of that input ends all of them.
"""

from __future__ import annotations

import importlib
import os
import select
import signal
import socket
import sys

import uvicorn

from tests.faults.app import build

# What a kit imports when it is told to use it: here once, and not in each worker anew.
for late in ("store.sql", "store.sqlite", "store.mongo", "mail.file"):
    importlib.import_module(f"authkit_asgi.{late}")
for late in ("sqlalchemy.dialects.postgresql.asyncpg", "uvicorn.lifespan.on", "uvloop"):
    importlib.import_module(late)
importlib.import_module("uvicorn.protocols.http.auto")


def main(descriptor: int, count: int) -> None:
    woken, wakes = socket.socketpair()
    wakes.setblocking(False)
    woken.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes.fileno())
    workers: list[int] = []
    while True:
        while len(workers) < count:
            workers.append(_fork(descriptor))
        ready, _, _ = select.select([sys.stdin.fileno(), woken], [], [])
        if woken in ready:
            woken.recv(4096)
        if sys.stdin.fileno() in ready:
            orders = os.read(sys.stdin.fileno(), 1)
            if not orders:
                break
            _kill(workers[0])
            _bury(workers[0])
            del workers[0]
        for worker in list(workers):
            if os.waitpid(worker, os.WNOHANG) != (0, 0):
                _say("-", worker)
                workers.remove(worker)
    for worker in workers:
        _kill(worker)


def _fork(descriptor: int) -> int:
    worker = os.fork()
    if worker:
        _say("+", worker)
        return worker
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    config = uvicorn.Config(build(), log_level="critical", access_log=False, server_header=False)
    try:
        uvicorn.Server(config).run([socket.socket(fileno=descriptor)])
    finally:
        os._exit(1)


def _kill(worker: int) -> None:
    os.kill(worker, signal.SIGKILL)  # it is ours: a child that died stays one until it is buried


def _bury(worker: int) -> None:
    os.waitpid(worker, 0)
    _say("-", worker)


def _say(sign: str, worker: int) -> None:
    os.write(1, f"{sign} {worker}\n".encode())


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
