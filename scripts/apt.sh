#!/usr/bin/env bash
# Installs Debian packages, without asking anything: scripts/apt.sh PACKAGE…
# Fails with a sentence where there is no apt, or where this user may not use it.
set -euo pipefail

complain() {
  echo "$1 As root: apt-get install $packages" >&2
  exit 1
}

packages=$*
command -v apt-get >/dev/null || complain "There is no apt-get here."
if [ "$(id -u)" = 0 ]; then
  root=(env)
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  root=(sudo -n env)
else
  complain "Installing needs root, or sudo that asks for no password."
fi

echo "Installing $packages with apt …"
apt=("${root[@]}" DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# A list that cannot be fetched may belong to somebody else's package: the installation decides.
"${apt[@]}" update >"$log" 2>&1 || true
"${apt[@]}" install --yes --no-install-recommends "$@" </dev/null >>"$log" 2>&1 || {
  tail -n 20 "$log" >&2
  complain "apt could not install it."
}
