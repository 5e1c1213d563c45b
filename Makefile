# `make setup` makes the environment, `make up` starts the exchange, `make check` is quick, `make test` is everything.
PYTHON ?= python3
BIN := .venv/bin
NODE := tests/e2e/node
WEB := gateway/web
UV_COMPILE := $(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url -q
VENUE := $(BIN)/venue
BUF := $(BIN)/buf

# Tests wait for processes more than they compute. All run to their end, whichever fails; each one's lines stay together where make can do that (4.0 and newer).
ABREAST := $(MAKE) --no-print-directory -k -j 5 $(if $(filter output-sync,$(.FEATURES)),-Otarget)

# What Python has compiled is kept, whatever the shell says: dozens of processes would compile the same anew.
export PYTHONDONTWRITEBYTECODE :=
export UV_PYTHON_DOWNLOADS := never
export PATH := $(CURDIR)/.venv/node:$(PATH)

.PHONY: help setup lock gen gen-check baseline lint-proto format lint check audit audit-code secrets-baseline test environments up down reset bench chaos-long native native-check lint-web sdk

help:
	@echo "setup up down reset | check test lint format | audit | gen gen-check lint-proto | bench chaos-long | native native-check | sdk | lock baseline"

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

# The browser terminal. Where it cannot be built one line says why, and the venue runs with its plain page.
.venv/.stamp-web: .venv/.stamp tools/terminal.py $(wildcard $(WEB)/*.*) $(shell find $(WEB)/src $(WEB)/public gen/typescript -type f)
	@$(BIN)/python tools/terminal.py

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

lint-web: .venv/.stamp-web
	@if [ -d $(WEB)/node_modules ]; then cd $(WEB) && npm run --silent check; fi

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

audit-code: .venv/.stamp
	@$(BIN)/python tools/audit.py code

# The tests of a folder, or of several that are quick.
test-rules: .venv/.stamp
	$(BIN)/pytest -q tests/unit tests/golden tests/contract tests/tidy

# Tests of real processes, several groups at a time on the same processors: what fails is run once more, without the rest of its group, and
# that is said at the end. What fails twice has failed.
PYTEST_OF = $(BIN)/pytest -q -o cache_dir=build/tests/$@
ONCE_MORE = $(PYTEST_OF) $(1) || { [ $$? = 1 ] && echo "$@: once more what failed" && $(PYTEST_OF) --last-failed $(1) && echo $@ >> build/tests/again; }

# The longest folders, in two halves each.
GATEWAY := $(wildcard $(addprefix tests/e2e/test_,bad_input_*.py gateway_*.py edge_*.py walk_*.py))
test-gateway: .venv/.stamp
	$(call ONCE_MORE,$(GATEWAY))

test-people: .venv/.stamp
	$(call ONCE_MORE,tests/e2e $(addprefix --ignore=,$(GATEWAY)))

CORE := $(wildcard $(addprefix tests/integration/,db embedded engine marketdata replica))
test-core: .venv/.stamp
	$(call ONCE_MORE,$(CORE))

test-services: .venv/.stamp
	$(call ONCE_MORE,tests/integration $(addprefix --ignore=,$(CORE)))

test-chaos: .venv/.stamp
	$(call ONCE_MORE,tests/chaos)

# Computes and nothing else, for minutes: it takes what the others leave of the processors.
test-simulation: .venv/.stamp
	nice -n 19 $(BIN)/pytest -q tests/simulation

test-%: .venv/.stamp
	$(BIN)/pytest -q tests/$*

environments:
	@$(MAKE) --no-print-directory -j 3 .venv/.stamp .venv-gen/.stamp .venv/.stamp-node .venv/.stamp-web

QUICK := lint lint-proto lint-web gen-check audit-code test-property test-rules

check: environments
	@echo "check: five at a time; what each says is shown when it ends"
	@$(ABREAST) $(QUICK)

# The longest begin first, so that none is left to end alone. The simulation fills from the start what those that wait leave idle.
test: environments
	@echo "test: five at a time, the longest takes some minutes; what each says is shown when it ends"
	@rm -rf build/tests && mkdir -p build/tests
	@$(ABREAST) test-simulation test-services test-people test-gateway test-core test-chaos test-bench test-rules $(QUICK)
	@if [ -e build/tests/again ]; then echo "test: failed once and passed alone, see above in:" $$(cat build/tests/again); fi

up: setup .venv/.stamp-web
	@$(BIN)/python tools/native.py later
	@exec $(VENUE) up

down: setup
	@$(VENUE) down

reset: setup
	@$(VENUE) reset

# What is measured is what runs wherever there is a C compiler; the page says which rules ran.
bench: setup
	@$(BIN)/python tools/native.py try
	@$(VENUE) bench

# The rules as machine code, into the environment: all that is started then runs them until their source changes.
native: setup
	@$(BIN)/python tools/native.py

native-check: native
	$(BIN)/pytest -q tests/property tests/golden tests/unit/transport --native
	$(BIN)/python -m tests.simulation 0 99

# Clients of other languages, generated and compiled. Those whose tools are not here are named and left out.
sdk: .venv-gen/.stamp .venv/.stamp-node
	@.venv-gen/bin/python tools/sdk.py

chaos-long: setup
	$(BIN)/pytest -q tests/simulation tests/chaos --timeout=0 --long
