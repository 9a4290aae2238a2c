"""The environment of the peers: `.bench`, beside `.venv`, made once from `benchmarks/peers.txt`."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".bench"
PEERS = ROOT / "benchmarks" / "peers.txt"


def go_there(module: str) -> None:
    """Run `module` again with the peers' Python, unless this is it. Where the peers cannot be
    installed, go on without them and say so."""
    python = HOME / "bin" / "python"
    if Path(sys.prefix) == HOME:
        return
    try:
        _install(python)
    except (OSError, subprocess.CalledProcessError) as error:
        print(
            f"The peers could not be installed ({error}): measured without them.", file=sys.stderr
        )
        return
    os.execv(python, [str(python), "-m", module, *sys.argv[1:]])


def _install(python: Path) -> None:
    done = HOME / ".ready"
    wanted = PEERS.read_text() + (ROOT / "pyproject.toml").read_text()
    if done.exists() and done.read_text() == wanted:
        return
    print("Installing the peers into .bench (once; a minute or two) …", file=sys.stderr)
    if not python.exists():
        venv.create(HOME, with_pip=True, clear=True)
    pip: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "-qq",
        "--disable-pip-version-check",
        "--no-input",
    ]
    subprocess.run([*pip, "--editable", ROOT, "-r", PEERS], check=True, stdout=sys.stderr)
    done.write_text(wanted)
