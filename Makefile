# Each target does its own set-up; nothing has to be typed before it.
.DEFAULT_GOAL := help
.PHONY: help demo test fuzz check bench matrix docs clean dev-setup demo-setup

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

demo: demo-setup ## Serve the sample app on http://localhost:8000 (PORT=8001 make demo)
	@scripts/demo.sh

test: dev-setup ## Run all tests, those in a browser too (ARGS="-k walks" for some)
	@scripts/chromium.sh
	@scripts/nginx.sh
	.venv/bin/pytest -n 3 --dist loadfile $(ARGS)

fuzz: dev-setup ## Try a million of each kind of hostile input (AUTHKIT_FUZZ_SEED=… for others)
	AUTHKIT_FUZZ_EXAMPLES=$${AUTHKIT_FUZZ_EXAMPLES:-1000000} .venv/bin/pytest -n 2 tests/fuzz $(ARGS)

check: dev-setup ## Judge format, style and types
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/mypy
	.venv/bin/pyright
	.venv/bin/python scripts/musts.py --missing

bench: dev-setup ## Run the benchmarks
	@scripts/bench.sh

matrix: dev-setup ## Try all servers with all frameworks, and write docs/matrix.md
	.venv/bin/python -m tests.matrix.table

docs: dev-setup ## Build the documentation into site/
	.venv/bin/zensical build --strict --clean

clean: ## Remove what was made: environment, demo, caches, site
	rm -rf .venv .demo .hypothesis .mypy_cache .pytest_cache .ruff_cache .cache .coverage dist site

dev-setup:
	@scripts/setup.sh dev

demo-setup:
	@scripts/setup.sh demo
