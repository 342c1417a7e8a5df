SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The first interpreter that is new enough; `make demo PYTHON=...` names another.
suitable = $(1) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
PYTHON ?= $(shell for each in python3 python3.13 python3.12 python3.11; do $(call suitable,$$each) && echo $$each && break; done)

KEEP ?=
export KEEP

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install lock lint test test-unit test-integration test-long bench demo up down docs clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## Install everything into .venv (uv, from the package registry)

$(STAMP): requirements.lock requirements.txt pyproject.toml
	@$(BIN)/python -c 'import pip' 2>/dev/null || { \
		$(call suitable,"$(PYTHON)") || { echo "Midtime needs Python 3.11 or newer, and $(or $(PYTHON),python3) is not:" \
			"make $(or $(MAKECMDGOALS),install) PYTHON=/path/to/python3.12" >&2; exit 1; }; \
		"$(PYTHON)" -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }; }
	@echo "Installing what requirements.lock names into $(VENV): a minute, or a few when nothing is cached"
	@$(BIN)/python -m pip install --quiet uv==0.13.8
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

lock: $(STAMP) ## Pin every dependency again in requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 requirements.txt --group dev -o requirements.lock

lint: $(STAMP) ## Style, types, the direction of imports, and that what is generated is up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m midtime.model.topology_reference --check
	$(BIN)/python -m tests.fault_table --check

test: lint test-unit test-integration ## Everything that CI runs

test-unit: $(STAMP) ## Tests that need no server
	$(BIN)/python -m pytest --ignore=tests/integration -m "not long" --numprocesses=4

test-integration: $(STAMP) ## Tests on real servers and a real Airflow
	$(BIN)/python -m pytest tests/integration -m "not long and not alone" --numprocesses=3 --dist=loadgroup
	$(BIN)/python -m pytest tests/integration -m "not long and alone" --ignore=tests/integration/test_demo.py
	$(BIN)/python -m pytest tests/integration/test_demo.py # beside no other test's servers

test-long: $(STAMP) ## Proofs that take long
	$(BIN)/python -m pytest -m long

bench: $(STAMP) ## Measure against the peers (benchmarks/)
	@for each in benchmarks/[a-z]*.py; do echo "== $$each"; PYTHONPATH=. $(BIN)/python $$each || exit 1; done

demo: $(STAMP) ## See it work: a bank on PostgreSQL and MariaDB is backed up, drilled, restored; and torn without a pause (KEEP=1: the UI stays open)
	@$(BIN)/python -m tests.stack.demo

up: $(STAMP) ## Start a local Airflow on the topologies of MIDTIME_TOPOLOGIES
	@$(BIN)/python -m tests.stack up

down: $(STAMP) ## Stop it
	@$(BIN)/python -m tests.stack down

docs: $(STAMP) ## Write the generated reference pages
	$(BIN)/python -m midtime.model.topology_reference
	$(BIN)/python -m tests.fault_table

clean: ## Remove .venv, .midtime and all caches
	@if test -f .midtime/state.json; then $(BIN)/python -m tests.stack down; fi
	rm -rf .venv .midtime .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build plugins/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
