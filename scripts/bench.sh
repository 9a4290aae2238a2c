#!/usr/bin/env bash
# Runs every benchmark: each benchmarks/*.py is a program of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
shopt -s nullglob
programs=(benchmarks/*.py)
if [ ${#programs[@]} = 0 ]; then
  echo "There are no benchmarks yet."
fi
for program in "${programs[@]}"; do
  echo "== $program"
  .venv/bin/python -m "benchmarks.$(basename "$program" .py)"
done
