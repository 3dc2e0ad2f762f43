PYTHON ?= python3
GAN := .venv/bin/gan

.DEFAULT_GOAL := help
.PHONY: help train test lint reproduction clean

help:  ## what each target does
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

train: .venv/.installed  ## train a small DCGAN on the built-in shapes: minutes on a CPU
	$(GAN) train experiment=quickstart

test: .venv/.installed  ## run the tests, one process for each core
	.venv/bin/python -m pytest --numprocesses auto --dist worksteal

lint: .venv/.installed  ## check style and types
	.venv/bin/ruff check .
	.venv/bin/mypy

reproduction: .venv/.installed  ## rebuild docs/REPRODUCTION.md from the result files in docs/results
	.venv/bin/python -m gan_cli.experiments.report

clean:  ## remove the environment and the caches; runs in outputs/ stay
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Installs once, and again only when the dependencies change.
.venv/.installed: pyproject.toml
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --editable '.[dev]'
	touch $@
