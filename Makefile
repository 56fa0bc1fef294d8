# Two commands on a fresh machine: `make run` and `make test`. Both set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.run
TEST_STAMP := $(VENV)/.test
COMPILE_STAMP := $(VENV)/.compile

.PHONY: run test test-slow test-compiled lint types bench lock clean
.DELETE_ON_ERROR:

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hetsim needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(TEST_STAMP): $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@ $(RUN_STAMP)

$(COMPILE_STAMP): $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[compile]'
	touch $@ $(RUN_STAMP)

run: $(RUN_STAMP)  ## the demonstration study: tables on the terminal, plots under runs/demo/
	$(BIN)/python -m simulator.demo --out runs/demo

test: $(TEST_STAMP)  ## the whole fast suite
	$(BIN)/python -m pytest -n auto

test-slow: $(TEST_STAMP)  ## long studies
	$(BIN)/python -m pytest -m slow

test-compiled: $(TEST_STAMP)  ## the compiled engine gives the bytes of the interpreted one
	$(BIN)/python -m pytest -m 'slow or not slow' tests/simulator/test_compiled.py

lint: $(TEST_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(TEST_STAMP)
	$(BIN)/mypy

bench: $(COMPILE_STAMP)  ## speed, as ratios to bare SimPy timeouts measured in the same run
	$(BIN)/python -m simulator.bench
	$(BIN)/python -m simulator.bench.dispatch

lock: $(BIN)/python  ## pin what the tests are developed with, by hash (needs uv on the PATH)
	uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url --extra test \
		--python-version 3.11 pyproject.toml --output-file requirements-dev.lock

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
