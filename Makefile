# `make setup` makes the environment, `make up` starts the exchange, `make check` is quick, `make test` is everything.
PYTHON ?= python3
BIN := .venv/bin
NODE := tests/e2e/node
UV_COMPILE := $(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url -q
VENUE := $(BIN)/venue
FAST := tests/unit tests/golden tests/contract tests/tidy
BUF := $(BIN)/buf

export UV_PYTHON_DOWNLOADS := never
export PATH := $(CURDIR)/.venv/node:$(PATH)

.PHONY: help setup lock gen gen-check baseline lint-proto format lint check audit secrets-baseline test up down reset bench chaos-long

help:
	@echo "setup up down reset | check test lint format | audit | gen gen-check lint-proto | bench chaos-long | lock baseline"

setup: .venv/.stamp

.venv/.stamp: requirements.lock pyproject.toml
	@$(PYTHON) tools/environment.py setup

.venv-gen/.stamp: tools/generator.lock
	@$(PYTHON) tools/environment.py generator

# Marked outside node_modules, so npm's own cleaning does not touch the mark.
.venv/.stamp-node: $(NODE)/package-lock.json .venv/.stamp
	@echo "setup: node packages"
	@cd $(NODE) && npm ci --silent --no-audit --no-fund
	@touch $@

lock: .venv/.stamp
	$(UV_COMPILE) pyproject.toml --group dev -o requirements.lock
	$(UV_COMPILE) tools/generator.in --python-version 3.11 -o tools/generator.lock
	@$(MAKE) --no-print-directory setup

gen: .venv-gen/.stamp .venv/.stamp-node
	@.venv-gen/bin/python tools/generate.py

gen-check: .venv-gen/.stamp .venv/.stamp-node
	@.venv-gen/bin/python tools/generate.py --check

# At a release only: a baseline that follows every change is a check that cannot fail.
baseline: gen
	cp gen/venue.binpb proto/baseline.binpb

lint-proto: .venv/.stamp
	$(BUF) lint gen/venue.binpb
	$(BUF) breaking gen/venue.binpb --against proto/baseline.binpb

format: .venv/.stamp
	$(BIN)/ruff check --fix-only -q .
	$(BIN)/ruff format -q .

lint: .venv/.stamp
	$(BIN)/ruff check -q .
	$(BIN)/ruff format --check -q .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# What is known of the supply chain: bandit, detect-secrets, pip-audit, and a bill of materials in build/.
audit: .venv/.stamp
	@$(BIN)/python tools/audit.py

# After a look at each new place: what the baseline knows is no secret.
secrets-baseline: .venv/.stamp
	@$(BIN)/python tools/audit.py baseline

# Two at a time: neither half waits for anything but a processor.
check: lint lint-proto gen-check
	@$(BIN)/python tools/audit.py code
	@$(BIN)/pytest -q tests/property & property=$$!; \
	$(BIN)/pytest -q $(FAST); fast=$$?; \
	wait $$property && exit $$fast

test: setup .venv/.stamp-node check
	$(BIN)/pytest -q tests --ignore=tests/unit --ignore=tests/property --ignore=tests/golden --ignore=tests/contract --ignore=tests/tidy

up: setup
	@exec $(VENUE) up

down: setup
	@$(VENUE) down

reset: setup
	@$(VENUE) reset

bench: setup
	@$(VENUE) bench

chaos-long: setup
	$(BIN)/pytest -q tests/simulation tests/chaos --timeout=0 --long
