PYTHON ?= python3
GAN := .venv/bin/gan

.DEFAULT_GOAL := help
.PHONY: help train test lint reproduction pairs errors clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

train: .venv/.installed  ## train a small DCGAN on built-in shapes: minutes on a CPU
	$(GAN) train experiment=quickstart

test: .venv/.installed  ## run the tests, one process per core
	.venv/bin/python -m pytest --numprocesses auto --dist worksteal

lint: .venv/.installed  ## check style and types
	.venv/bin/ruff check .
	.venv/bin/mypy

reproduction: .venv/.installed  ## rebuild docs/REPRODUCTION.md and its pages from the result files in docs/results
	.venv/bin/python -m gan_cli.experiments.report

pairs: .venv/.installed  ## rebuild docs/PAIRS.md, the table of all losses with all models
	PYTHONPATH=tests .venv/bin/python tests/systems/test_pairs.py > docs/PAIRS.md

errors: .venv/.installed  ## rebuild docs/ERRORS.md from the cases in tests/bad_inputs.py
	.venv/bin/python tests/bad_inputs.py

clean:  ## remove the environment and the caches; runs in outputs/ are kept
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Installed once, and again when the dependencies change.
.venv/.installed: pyproject.toml
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --editable '.[dev]'
	touch $@
