#!/usr/bin/env bash
# Runs every benchmark in its short form, prints what it found, and writes docs/benchmarks.md.
set -euo pipefail
cd "$(dirname "$0")/.."
exec .venv/bin/python -m benchmarks "$@"
