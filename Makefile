# The same commands for people and for CI. Needs Python >= 3.10 and make; everything else lands in .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: help install demo test lint types contract unit bench docs clean

help:
	@echo "make demo   train resnet56 and its plain twin on handwritten digits, write bundle and report"
	@echo "make test   lint, types, import contract and all tests"
	@echo "make lint | bench | docs | clean"

install: $(STAMP)

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing skipline and its requirements into $(VENV) (a minute or two the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $(STAMP)

demo: install
	$(BIN)/skipline train digits --model resnet56 --twin --out runs/demo --overwrite

lint: install
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/ruff check src tests benchmarks examples

types: install
	$(BIN)/mypy

contract: install
	$(BIN)/lint-imports

unit: install
	$(BIN)/python -m pytest

test: lint types contract unit

bench: install
	$(BIN)/skipline bench train
	$(BIN)/skipline bench input
	$(BIN)/skipline bench predict

docs: install
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build dist
