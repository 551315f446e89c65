# Each target makes what it needs in .venv; what is there already is not made again.
#   make demo    a store, stock and reservations to look at, one command
#   make serve   the server, its data kept in ~/.local/share/invengine
#   make test    all tests            make lint    style, types, contract
#   make soak    a quarter of an hour: SOAK_SECONDS=600 of mixed load under faults by SEED=1, then 100,000 bent requests
#   make soak-long   that, a history of ANSWERS=300000 answers, a Cluster under faults, and every other long test
#   make bench   all benchmarks       make proto   invengine/v1 and docs/api from proto/
#   make clean   forget everything that was made
# PYTHON=/path/to/python3 chooses the interpreter of a new .venv; ARGS='-k reserve -x' goes to pytest.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Tests and workers start hundreds of processes: without Python's compiled files each of them compiles every module anew.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help demo serve test soak soak-long bench lint proto clean

VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/runtime.stamp
DEVELOPMENT := $(VENV)/development.stamp
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
ARGS ?=
ANSWERS ?= 300000
SOAK_SECONDS ?= 600
SEED ?= 1

help:
	@sed -n 's/^#   //p' Makefile

demo: $(RUNTIME)
	@$(BIN)/invengine demo

serve: $(RUNTIME)
	@exec $(BIN)/invengine serve

test: $(DEVELOPMENT)
	$(BIN)/python -m pytest -n 4 --dist worksteal $(ARGS)

soak: $(DEVELOPMENT)
	$(BIN)/python -m tests.soak --seconds $(SOAK_SECONDS) --seed $(SEED)
	$(BIN)/python -m tests.faults.fuzz --bodies 100000 --seed $(SEED)

soak-long: soak
	HISTORY_ANSWERS=$(ANSWERS) $(BIN)/python -m pytest -s -k has_an_order tests/linearizability $(ARGS)
	$(BIN)/python -m pytest -s -m soak $(ARGS)

bench: $(DEVELOPMENT)
	$(BIN)/python -m benchmarks

lint: $(DEVELOPMENT)
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy
	BUF_CACHE_DIR=$(CURDIR)/$(VENV)/buf $(BIN)/buf lint
	@base=$$(git describe --tags --abbrev=0 main 2>/dev/null || git rev-parse --verify --quiet HEAD) || base=; \
	if [ -n "$$base" ] && git cat-file -e "$$base:buf.yaml" 2>/dev/null; then \
		echo "buf breaking against $$base"; \
		BUF_CACHE_DIR=$(CURDIR)/$(VENV)/buf $(BIN)/buf breaking --against ".git#ref=$$base"; \
	else echo "buf breaking: no former contract to compare with"; fi

proto: $(DEVELOPMENT)
	$(BIN)/python proto/generate.py

clean:
	rm -rf $(VENV) build dist invengine.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A link to an interpreter that is gone counts as missing, so the folder is then made anew.
$(BIN)/python:
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "making $(VENV) with $$("$$python" --version)"; \
			"$$python" -m venv --clear $(VENV) && exit 0; \
			echo "$$python cannot make an environment: install its venv module (Debian: python3-venv)" >&2; exit 1; \
		fi; \
	done; \
	echo "invengine needs Python 3.11 or newer, and none was found; PYTHON=/path/to/python3 names one" >&2; exit 1

$(RUNTIME): setup.py constraints.txt | $(BIN)/python
	@echo "installing invengine into $(VENV) (the first time takes a minute)"
	@$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(DEVELOPMENT): setup.py constraints.txt | $(BIN)/python
	@echo "installing invengine with what tests, lint and benchmarks need into $(VENV) (the first time takes a minute)"
	@$(PIP) install --constraint constraints.txt --editable '.[test,lint,bench]'
	@touch $(RUNTIME) $@
