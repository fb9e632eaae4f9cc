# Everything a person or CI runs. Needs make and Python >= 3.11, nothing else.

# The first of these that is new enough. An earlier .venv decides for itself.
CANDIDATES := python3 python3.13 python3.12 python3.11 python3.14 python
SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in $(CANDIDATES); do \
	$$p -c '$(SUITABLE)' >/dev/null 2>&1 && { echo $$p; break; }; done)

VENV := .venv
RUN := $(VENV)/bin/python -m
INSTALLED := $(VENV)/.installed

.PHONY: help test lint check format demo bench docs notebooks lock test-live clean

help:
	@echo 'make test       set everything up, then lint, types and tests'
	@echo 'make demo       set everything up, then answer a question about 10 MB (no key needed)'
	@echo 'make lint       ruff and mypy alone'
	@echo 'make format     let ruff format and fix what it can'
	@echo 'make bench      benchmarks against the reference and dspy'
	@echo 'make docs       write docs/cli.md, options.md, magics.md and the JSON Schema of notebooks'
	@echo 'make notebooks  execute the notebooks and write their outputs (needs Docker)'
	@echo 'make test-live  tests that talk to paid services (keys from the environment)'
	@echo 'make lock       resolve requirements/dev.lock anew'
	@echo 'make clean      remove what the above made'

# pip checks every hash; the second run finds the stamp and takes no time.
$(INSTALLED): requirements/dev.lock pyproject.toml $(wildcard rlm_kernel/kernelspec/*/kernel.json)
	@if [ -z "$(PYTHON)" ]; then \
		echo 'No Python >= 3.11 with venv was found (on Debian: apt install python3-venv).' \
			'Name one: make PYTHON=/path/to/python3 test' >&2; exit 1; fi
	@$(RUN) pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --disable-pip-version-check \
		--require-hashes --requirement requirements/dev.lock
	$(RUN) pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

# What needs a Docker engine, Chromium, npm or litellm skips where there is none, and says so;
# `.ci/run` installs them all. Most tests wait for kernels: more workers than processors.
WORKERS ?= 3
test: lint
	$(RUN) pytest --numprocesses $(WORKERS) --dist loadfile

lint: $(INSTALLED)
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy

format: $(INSTALLED)
	$(RUN) ruff check --fix
	$(RUN) ruff format

demo: $(INSTALLED)
	$(RUN) rlm demo

bench: $(INSTALLED)
	$(VENV)/bin/python benchmarks/run.py

docs: $(INSTALLED)
	$(RUN) rlm.cli.reference docs/cli.md
	$(RUN) rlm.run_options.reference docs/options.md
	$(RUN) rlm.formats.notebook.schema docs/rlm-notebook.schema.json
	$(RUN) rlm_ipython.reference docs/magics.md

notebooks: $(INSTALLED)
	$(VENV)/bin/python notebooks/execute.py

test-live: $(INSTALLED)
	$(RUN) pytest -m live

# uv resolves for every platform at once; it is needed for this alone.
lock: $(INSTALLED)
	$(RUN) pip install --quiet --disable-pip-version-check uv
	$(RUN) uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
		--generate-hashes --no-annotate --no-header --no-emit-index-url --quiet --upgrade \
		--output-file requirements/dev.lock

clean:
	rm -rf $(VENV) .bench .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
