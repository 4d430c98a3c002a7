# Everything a developer runs. `make test` sets up what it needs by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 4
# The Claude Code versions that tests run with, each with its captured payloads: oldest supported and newest.
CLAUDE_VERSIONS := $(sort $(notdir $(wildcard tests/payloads/*.*.*)))
# One of them: make test-client CLAUDE_VERSION=2.1.332
CLAUDE_VERSION ?= $(CLAUDE_VERSIONS)
CLAUDES := $(CLAUDE_VERSION:%=.tools/claude-%/node_modules/.bin/claude)
# Checks the dashboard's roles, names and contrast.
AXE_VERSION := 4.14.1
AXE := .tools/axe/node_modules/axe-core/axe.min.js

.PHONY: help setup test test-slow test-all test-client check format bench torture fuzz schema docs clean picture vendor

help:
	@echo "make setup        the environment in .venv, and the Claude Code clients that tests run"
	@echo "make test         the tests to run while you work: a few minutes"
	@echo "make test-slow    the others: torture, fuzzing, builds, a browser, the real Claude Code clients"
	@echo "make test-all     both"
	@echo "make test-client  those with the real Claude Code (CLAUDE_VERSION=2.1.332 for one version)"
	@echo "make check        ruff, ruff format, mypy --strict"
	@echo "make bench        docs/benchmarks.md, measured again (12 minutes on an idle machine)"
	@echo "make torture      kills, crowds, full disks and power cuts, the long form (SEED=N replays one)"
	@echo "make fuzz         100,000 inputs for everything that reads what others wrote"
	@echo "make schema       fleet_lib/store/schema.sql from the migrations"
	@echo "make docs         docs/commands/ from the console's help"
	@echo "make vendor       the dashboard's view library again, at the versions of commander/gateway/vendored.py"
	@echo "make picture      docs/status.svg and docs/dashboard.png from a real run"

setup: $(VENV)/ready $(CLAUDES) $(AXE)

$(VENV)/ready: pyproject.toml .claude-plugin/plugin.json
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

# The tests run the real clients against a scripted model. Without npm they are skipped, and fail in CI.
.tools/claude-%/node_modules/.bin/claude:
	@if command -v npm >/dev/null; then \
	  npm install --silent --no-fund --no-audit --prefix .tools/claude-$* \
	    @anthropic-ai/claude-code@$* && \
	  { $@ --version >/dev/null 2>&1 || \
	    node .tools/claude-$*/node_modules/@anthropic-ai/claude-code/install.cjs; }; \
	else echo "npm is not there: the tests with the real Claude Code $* will be skipped" >&2; fi

$(AXE):
	@if command -v npm >/dev/null; then \
	  npm install --silent --no-fund --no-audit --prefix .tools/axe axe-core@$(AXE_VERSION); \
	else echo "npm is not there: the dashboard's tests will not check its accessibility" >&2; fi

# The fast lane leaves the compiled tests to the next run, also where Python is not to leave any.
test test-slow test-client: export PYTHONDONTWRITEBYTECODE =

test: $(VENV)/ready
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow" --ignore tests/client

test-slow: setup
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m slow

test-all: test test-slow

test-client: setup
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests/client $(CLAUDE_VERSION:%=--client %)

check: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,bench]'
	$(BIN)/python -m benchmarks

torture: $(VENV)/ready
	$(BIN)/python -m torture $(if $(SEED),--seed $(SEED)) $(SCENARIO)

fuzz: $(VENV)/ready
	$(BIN)/python -m fuzz $(TARGET)

schema: $(VENV)/ready
	$(BIN)/python -m fleet_lib.store.migrate > fleet_lib/store/schema.sql

picture: $(VENV)/ready
	$(BIN)/python docs/picture.py $(CHROMIUM)

vendor: $(VENV)/ready
	$(BIN)/python -m commander.gateway.vendored

docs: $(VENV)/ready
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) .tools .pytest_cache .mypy_cache .ruff_cache .hypothesis
