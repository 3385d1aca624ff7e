# The same commands for people and for CI. Needs Python >= 3.10 and make; everything else lands in .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# Whom `skipline bench` measures against, in an environment of their own.
PEERS  := .venv-peers
PEERS_STAMP := $(PEERS)/.installed
RESULTS := docs/results/bench

# The fuzzer, too, has an environment of its own: it instruments what it imports.
FUZZ   := .venv-fuzz
FUZZ_STAMP := $(FUZZ)/.installed

.PHONY: help install demo test lint types contract unit bench fuzz docs clean

help:
	@echo "make demo   train resnet56 and its plain twin on handwritten digits, write bundle and report"
	@echo "make test   lint, types, import contract and all tests"
	@echo "make bench  measure speed against the peers, which it installs, and write docs/benchmarks.md"
	@echo "make fuzz   give every parser 100,000 damaged files (an hour)"
	@echo "make lint | docs | clean"

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

$(PEERS_STAMP): benchmarks/peers.txt
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@echo "installing the peers of benchmarks/peers.txt into $(PEERS) (some minutes the first time)"
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/peers.txt
	@touch $(PEERS_STAMP)

bench: install $(PEERS_STAMP)
	@mkdir -p $(RESULTS)
	$(BIN)/skipline bench train --out $(RESULTS)/train.json
	$(BIN)/skipline bench input --out $(RESULTS)/input.json
	$(BIN)/skipline bench predict --out $(RESULTS)/predict.json
	$(BIN)/skipline bench scale --out $(RESULTS)/scale.json
	$(BIN)/python docs/generate_benchmarks.py

$(FUZZ_STAMP): benchmarks/fuzz.txt pyproject.toml
	@test -x $(FUZZ)/bin/python || $(PYTHON) -m venv $(FUZZ)
	@echo "installing skipline and the fuzzer into $(FUZZ) (a minute or two the first time)"
	@$(FUZZ)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[parquet]'
	@$(FUZZ)/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/fuzz.txt \
	  || echo "the fuzzer cannot be installed here: its inputs are drawn at random instead"
	@touch $(FUZZ_STAMP)

fuzz: $(FUZZ_STAMP)
	$(FUZZ)/bin/python benchmarks/fuzz.py

docs: install
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/generate_benchmarks.py
	$(BIN)/python docs/generate_scale_model.py

clean:
	rm -rf $(VENV) $(PEERS) $(FUZZ) .mypy_cache .ruff_cache .pytest_cache build dist
