# Needs GNU make and Python 3.11 to 3.13; everything else is installed below .venv/.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
UV_VERSION := 0.13.8
LOCKS := requirements/build.txt requirements/dev.txt
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help up test matrix check schema docs prove bench lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: $(VENV)/ready ## start everything with demo data; Ctrl-C stops it all
	@exec $(BIN)/zlaq up

test: $(VENV)/ready ## run the tests
	@$(BIN)/pytest

matrix: $(VENV)/ready ## run the tests on Python 3.12 and 3.13 and on PostgreSQL 15
	@$(BIN)/python -m tests.matrix

prove: $(VENV)/ready ## run the long proofs
	@$(BIN)/pytest -m prove -rP

# The peers need npm, which brings its own Node 22; the load comes from wrk.
bench: $(VENV)/ready ## measure against floors and peers; ARGS="--help" lists options
	@$(BIN)/python -m bench $(ARGS)

check: $(VENV)/ready ## formatting, lint, types, import arrows, schema.graphql
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/zlaq schema --check

schema: $(VENV)/ready ## write schema.graphql anew
	@$(BIN)/zlaq schema > .schema.graphql.new && mv .schema.graphql.new schema.graphql

docs: $(VENV)/ready ## write anew what the docs derive: the error catalogue, the lines of the way of a request
	@$(BIN)/python -m server.errors > .errors.md.new && mv .errors.md.new docs/errors.md
	@$(BIN)/python tests/docs/way.py

# The stamp is the last step, so an interrupted installation starts again from nothing.
$(VENV)/ready: pyproject.toml $(LOCKS)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
		|| { echo "zlaq needs Python 3.11, 3.12 or 3.13, found: $$($(PYTHON) --version 2>&1)." \
			"On Debian 12: apt-get install python3.11 python3.11-venv. Or: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
		|| { package=$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); \
			echo "$(PYTHON) cannot create virtual environments. On Debian and Ubuntu: apt-get install $$package" >&2; exit 1; }
	@rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes $(LOCKS:%=-r %)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# One resolution for everything, of which the smaller files are subsets. Nothing but versions and hashes is written:
# where packages come from is a matter of the machine.
COMPILE = "$$tools/bin/uv" pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --no-emit-index-url --no-annotate --no-header
lock: ## resolve all dependencies anew and write requirements/*.txt
	@set -euo pipefail; tools=$$(mktemp -d); trap 'rm -rf "$$tools"' EXIT; \
	$(PYTHON) -m venv "$$tools" && "$$tools/bin/pip" install --quiet uv==$(UV_VERSION); \
	$(COMPILE) pyproject.toml --extra demo --group dev -o "$$tools/dev.txt"; \
	$(COMPILE) pyproject.toml --extra demo -c "$$tools/dev.txt" -o "$$tools/demo.txt"; \
	$(COMPILE) pyproject.toml -c "$$tools/dev.txt" -o "$$tools/base.txt"; \
	echo hatchling | $(COMPILE) - -c "$$tools/dev.txt" -o "$$tools/build.txt"; \
	mkdir -p requirements; for name in base demo dev build; do \
		{ echo '# Written by `make lock`. Linux, CPython 3.11 to 3.13, every file of each version.'; \
			cat "$$tools/$$name.txt"; } > requirements/$$name.txt; done

clean: ## remove what these targets made, the demo's database included
	@if [ -x $(BIN)/python ]; then $(BIN)/python -c 'from demo.embedded import destroy_all; destroy_all()'; fi
	rm -rf .venv .matrix dist .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis .schema.graphql.new .errors.md.new
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
