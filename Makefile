# Fillbook's everyday commands. Each works from a clean clone with Python 3.11+, make and pip.
#
#   make demo [ARGS=--once]   set up, then answer the question on three synthetic bots
#   make test                 style, types, architecture and tests: what CI runs
#   make soak                 the long chaos and property runs
#   make bench                benchmarks, each as a ratio measured side by side
#   make docs                 regenerate what is generated in docs/ and README.md
#   make lock                 pin the newest dependencies, with hashes
#   make lint | make clean

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JOBS   ?= 2

# The real fills that the larger tests read lie outside the project; without them those tests
# are skipped, and say so.
ifeq ($(origin FILLBOOK_CORPUS),undefined)
  ifneq ($(wildcard ../shared/data/.),)
    FILLBOOK_CORPUS := $(abspath ../shared/data)
  endif
endif
export FILLBOOK_CORPUS

# What tests run against besides Python: Debian package and program, in turn.
PROGRAMS := prometheus prometheus

.PHONY: demo test lint soak bench docs lock clean
.DEFAULT_GOAL := demo

demo: $(VENV)/.installed
	$(BIN)/fillbook demo $(ARGS)

test: lint
	@sh scripts/programs.sh $(PROGRAMS)
	@echo "corpus: $(if $(FILLBOOK_CORPUS),$(FILLBOOK_CORPUS),none (tests over real files are skipped))"
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m soak $(ARGS)

bench: $(VENV)/.installed
	$(BIN)/python -m bench $(ARGS)

docs: $(VENV)/.installed
	$(BIN)/python scripts/docs.py
	$(BIN)/python scripts/reader_pages.py

lock:
	sh scripts/lock.sh

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .bench demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment is rebuilt only when the lock or the package's own definition has changed.
$(VENV)/.installed: requirements.lock pyproject.toml
	sh scripts/setup.sh $(PYTHON) $(VENV)
	touch $@
