#!/usr/bin/env bash
# Makes sure that there is an nginx for the tests behind a proxy. Where it cannot be had, that is an
# error in CI; elsewhere those tests are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
if PATH="$PATH:/usr/sbin" command -v nginx >/dev/null || scripts/apt.sh nginx-light; then exit 0; fi
if [ "${CI:-}" = true ]; then
  echo "CI=true, and no nginx: the tests behind a proxy cannot run." >&2
  exit 1
fi
echo "No nginx: the tests behind a proxy will be skipped." >&2
