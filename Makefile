PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: demo nightly test test-slow gpu-check check format lint types docs bench clean

demo: .venv/demo ## install, run the quickstart suite, report
	$(BIN)/depthbench run suites/quickstart.yaml
	$(BIN)/depthbench report

nightly: .venv/demo ## run suites/nightly.yaml, compare with the baseline and with last night, judge
	$(BIN)/depthbench nightly suites/nightly.yaml

test: .venv/test ## the default tests: minutes, no GPU, no network
	$(BIN)/python -m pytest

test-slow: .venv/dev ## training to published accuracy, long fuzzing, a cluster of two nodes
	$(BIN)/python -m pytest -m slow

gpu-check: ## timing on a CUDA device, with $(PYTHON) as it is (no .venv); fails where there is none
	$(PYTHON) benchmarks/gpu_check.py

check: .venv/dev ## what must pass before a change lands
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

docs: .venv/test ## regenerate docs/*.md and the suite schema from the code
	$(BIN)/python docs/generate.py

bench: .venv/test ## how fast depthbench itself is, against named peers
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/plan_scaling.py
	$(BIN)/python benchmarks/training_loop.py
	$(BIN)/python benchmarks/known_cost.py

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e .
	@touch $@

.venv/test: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[test]'
	@touch $@ .venv/demo

.venv/dev: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[dev]'
	@touch $@ .venv/demo .venv/test
