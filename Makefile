# Everything a developer runs. `make test` sets up what it needs by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 3
CLAUDE_VERSION := 2.1.197
CLAUDE := .tools/claude/node_modules/.bin/claude

.PHONY: help setup test test-slow test-all check format bench torture fuzz schema docs clean picture

help:
	@echo "make setup      the environment in .venv, and the Claude Code client that tests run"
	@echo "make test       the tests to run while you work: a few minutes"
	@echo "make test-slow  the others: torture, fuzzing, builds, a browser, the real Claude Code client"
	@echo "make test-all   both"
	@echo "make check      ruff, ruff format, mypy --strict"
	@echo "make bench      docs/benchmarks.md, measured again (10 minutes on a quiet machine)"
	@echo "make torture    kills, crowds, full disks and power cuts, the long form (SEED=N replays one)"
	@echo "make fuzz       100,000 inputs for everything that reads what others wrote"
	@echo "make schema     fleet_lib/schema.sql from the migrations"
	@echo "make docs       docs/commands/ from the console's help"
	@echo "make picture    docs/status.svg and docs/dashboard.png from a real run"

setup: $(VENV)/ready $(CLAUDE)

$(VENV)/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

# The tests run the real client against a scripted model. Without npm they say so and skip that part.
$(CLAUDE):
	@if command -v npm >/dev/null; then \
	  npm install --silent --no-fund --no-audit --prefix .tools/claude \
	    @anthropic-ai/claude-code@$(CLAUDE_VERSION) && \
	  { $@ --version >/dev/null 2>&1 || node .tools/claude/node_modules/@anthropic-ai/claude-code/install.cjs; }; \
	else echo "npm is not there: the tests with the real Claude Code client will be skipped" >&2; fi

test: $(VENV)/ready
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow"

test-slow: setup
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m slow

test-all: test test-slow

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
	$(BIN)/python -m fleet_lib.migrate > fleet_lib/schema.sql

picture: $(VENV)/ready
	$(BIN)/python docs/picture.py $(CHROMIUM)

docs: $(VENV)/ready
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) .tools .pytest_cache .mypy_cache .ruff_cache .hypothesis
