#!/usr/bin/env bash
# Makes .venv and installs the package with one dependency group into it.
#   scripts/setup.sh GROUP     GROUP: dev (tests, checks, docs) or demo (what the sample app needs)
# Needs python3 of 3.11 or later, or another one that PYTHON names. Debian keeps the module venv in
# a package of its own, which is fetched when it is missing. Quick when everything is in place.
set -euo pipefail
cd "$(dirname "$0")/.."
here=$(pwd -P)
group=${1:?"usage: scripts/setup.sh GROUP"}
python=${PYTHON:-python3}
wanted=$(cat pyproject.toml scripts/setup.sh | cksum)

fail() { echo "$1" >&2; exit 1; }

# Not sound: left half-made, its Python is gone, or it was copied here from another place, where its
# commands still point.
is_sound() {
  grep -qsF -- "-m venv $here/.venv" .venv/pyvenv.cfg && .venv/bin/python -c "import pip" 2>/dev/null
}

is_ready() { [ "$(cat ".venv/.ready-$1" 2>/dev/null)" = "$wanted" ]; }

make_venv() {
  command -v "$python" >/dev/null || fail "authkit-asgi needs Python 3.11 or later: there is no $python."
  "$python" -c "import sys; sys.exit(sys.version_info < (3, 11))" ||
    fail "authkit-asgi needs Python 3.11 or later; $python is $("$python" --version). Set PYTHON=…"
  "$python" -c "import ensurepip" 2>/dev/null || scripts/apt.sh python3-venv
  echo "Making the virtual environment .venv …"
  rm -rf .venv
  "$python" -m venv .venv
}

install() {
  .venv/bin/python -m pip install -qq --disable-pip-version-check --no-input \
    --root-user-action=ignore "$@" </dev/null ||
    fail "pip could not install what is needed (see above). Running the same again goes on from here."
}

if is_sound; then
  # dev holds all that demo needs.
  if is_ready dev || is_ready "$group"; then exit 0; fi
else
  make_venv
fi
echo "Installing authkit-asgi and its $group dependencies (once; a minute or two) …"
install --upgrade "pip>=25.1" # the first that knows dependency groups
install --editable . --group "$group"
printf '%s\n' "$wanted" >".venv/.ready-$group"
