#!/usr/bin/env bash
# Makes .venv and installs the package with one dependency group into it.
#   scripts/setup.sh GROUP     GROUP: dev (tests, checks, docs) or demo (what the sample app needs)
# Needs python3 of 3.11 or later. Debian keeps the module venv in a package of its own: it is
# fetched through apt when it is missing and this user may do so.
set -euo pipefail
cd "$(dirname "$0")/.."
group=${1:?"usage: scripts/setup.sh GROUP"}
python=${PYTHON:-python3}
stamp=.venv/.ready-$group
wanted=$(cat pyproject.toml scripts/setup.sh authkit_asgi/__init__.py | sha256sum)
[ "$(cat "$stamp" 2>/dev/null || true)" = "$wanted" ] && exit 0

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else echo "This needs root: $*" >&2; return 1
  fi
}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "authkit-asgi needs Python 3.11 or later; $("$python" --version) was found. Set PYTHON=…" >&2
  exit 1
}
if [ ! -x .venv/bin/pip ]; then
  echo "Making the virtual environment .venv …"
  rm -rf .venv
  "$python" -m venv .venv 2>/dev/null || {
    echo "python3-venv is missing: fetching it …"
    rm -rf .venv
    as_root apt-get update -qq
    as_root apt-get install -y -qq python3-venv >/dev/null
    "$python" -m venv .venv
  }
fi
echo "Installing authkit-asgi and its $group dependencies …"
.venv/bin/pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
.venv/bin/pip install --quiet --disable-pip-version-check --editable . --group "$group"
printf '%s\n' "$wanted" > "$stamp"
