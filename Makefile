# GridAgora from a clone: `make run`, `make test`, `make check`.  Needs Python 3.11 or newer (with venv), make and git.
# Everything is installed into .venv at the versions of constraints.txt; a stamp file makes the second call instant.

PYTHON ?= python3
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
SCENARIO ?= village
OUT ?= runs/$(SCENARIO)

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# One BLAS thread: the small dense solves here are many times slower when a thread pool splits them.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run install dev test test-all check format bench lock clean

help:
	@echo 'make run       install, run the scenario "$(SCENARIO)", print its key figures and the path of the report'
	@echo 'make test      install what tests need and run them (about ten minutes on two cores, less on more)'
	@echo 'make test-all  the same with the slow tests'
	@echo 'make check     format, lint, types, import layers, house rules'
	@echo 'make format    write the format and the fixes that ruff knows'
	@echo 'make bench     time the engine against its limits'
	@echo 'make lock      renew constraints.txt'
	@echo 'make clean     remove .venv, caches and built files (runs/ stays)'

run: install
	$(BIN)/gridagora run $(SCENARIO) -o $(OUT)

install: $(VENV)/.installed

dev: $(VENV)/.installed-dev

test: dev
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

test-all: dev
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m ''

check: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/test_house_rules.py tests/test_exports.py

format: dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: dev
	$(BIN)/python -m benchmarks

lock: dev
	$(PIP) install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --extra dev \
	  --no-header --no-annotate --output-file $(VENV)/lock.txt pyproject.toml
	{ sed -n '/^#/p' constraints.txt; cat $(VENV)/lock.txt; } > $(VENV)/lock-new.txt
	mv $(VENV)/lock-new.txt constraints.txt

clean:
	rm -rf $(VENV) build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo 'GridAgora needs Python 3.11 or newer, and "$(PYTHON)" is not. Install it, or name one: make PYTHON=python3.12 ...' >&2; \
	  exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  rm -rf $(VENV); \
	  echo 'No virtual environment could be made. On Debian or Ubuntu: sudo apt install python3-venv' >&2; \
	  exit 1; }
	@touch $@

# pyproject.toml and constraints.txt decide what is installed, so they decide when it is out of date.
$(VENV)/.installed: $(VENV)/.created pyproject.toml constraints.txt
	@echo 'Installing GridAgora into $(VENV) (once; one to three minutes)'
	@$(PIP) install --quiet --constraint constraints.txt setuptools
	@$(PIP) install --quiet --no-build-isolation --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo 'Installing what the tests and checks need into $(VENV) (once)'
	@$(PIP) install --quiet --no-build-isolation --constraint constraints.txt --editable '.[dev]'
	@touch $@
