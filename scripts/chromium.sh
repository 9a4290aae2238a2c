#!/usr/bin/env bash
# Makes sure that there is a Chromium for the tests in a browser. Where it cannot be had, that is an
# error in CI, where a test must not go missing unseen; elsewhere those tests are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
if command -v chromium >/dev/null || scripts/apt.sh chromium fonts-liberation; then exit 0; fi
if [ "${CI:-}" = true ]; then
  echo "CI=true, and no Chromium: the tests in a browser cannot run." >&2
  exit 1
fi
echo "No Chromium: the tests in a browser will be skipped." >&2
