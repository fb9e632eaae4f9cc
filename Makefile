# Everything a person or CI runs. Needs make and Python >= 3.11, nothing else.

# The first of these that is new enough. An earlier .venv decides for itself.
CANDIDATES := python3 python3.13 python3.12 python3.11 python3.14 python
SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in $(CANDIDATES); do \
	$$p -c '$(SUITABLE)' >/dev/null 2>&1 && { echo $$p; break; }; done)

VENV := .venv
RUN := $(VENV)/bin/python -m
INSTALLED := $(VENV)/.installed

# The demo needs the package and what it imports: no linters, browsers or notebook servers.
DEMO_VENV := .demo-venv
DEMO_RUN := $(DEMO_VENV)/bin/python -m
DEMO_INSTALLED := $(DEMO_VENV)/.installed

.PHONY: help test lint check format demo bench docs docs-site notebooks lock test-live clean

help:
	@echo 'make test       set everything up, then lint, types and tests'
	@echo 'make demo       set the package up, then answer a question about 10 MB (no key needed)'
	@echo 'make lint       ruff and mypy alone'
	@echo 'make format     let ruff format and fix what it can'
	@echo 'make bench      benchmarks against the reference and dspy'
	@echo 'make docs       write docs/cli.md, options.md, magics.md and the JSON Schema of notebooks'
	@echo 'make docs-site  build the documentation site into site/'
	@echo 'make notebooks  execute the notebooks and write their outputs (needs Docker)'
	@echo 'make test-live  tests that talk to paid services (keys from the environment)'
	@echo 'make lock       resolve the locks in requirements/ anew'
	@echo 'make clean      remove what the above made'

PIP_INSTALL := pip install --quiet --disable-pip-version-check
EDITABLE := --no-deps --no-build-isolation --editable .
SOURCES_OF_METADATA := pyproject.toml $(wildcard rlm_kernel/kernelspec/*/kernel.json)

.PHONY: python
python:
	@if [ -z "$(PYTHON)" ]; then \
		echo 'No Python >= 3.11 with venv was found (on Debian: apt install python3-venv).' \
			'Name one: make PYTHON=/path/to/python3 test' >&2; exit 1; fi

# pip checks every hash; the second run finds the stamp and takes no time.
$(INSTALLED): requirements/dev.lock $(SOURCES_OF_METADATA) | python
	@$(RUN) pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(RUN) $(PIP_INSTALL) --require-hashes --requirement requirements/dev.lock
	$(RUN) $(PIP_INSTALL) $(EDITABLE)
	@touch $@

# Each step says what it does: on a slow network one of them takes a while.
$(DEMO_INSTALLED): requirements/demo.lock $(SOURCES_OF_METADATA) | python
	@echo 'make demo sets itself up, this once (10 to 30 seconds):'
	@echo '  1. a virtual environment in $(DEMO_VENV)'
	@$(DEMO_RUN) pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(DEMO_VENV)
	@echo '  2. ipykernel, openai and what they need, from the package index (40 MB)'
	@$(DEMO_RUN) $(PIP_INSTALL) --no-compile --require-hashes --requirement $<
	@echo '  3. rlm-kernel itself, from this folder'
	@$(DEMO_RUN) $(PIP_INSTALL) $(EDITABLE)
	@echo 'Done. Now the demo:'
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

demo: $(DEMO_INSTALLED)
	@$(DEMO_RUN) rlm demo

bench: $(INSTALLED)
	$(VENV)/bin/python benchmarks/run.py

docs: $(INSTALLED)
	$(RUN) rlm.cli.reference docs/cli.md
	$(RUN) rlm.run_options.reference docs/options.md
	$(RUN) rlm.formats.notebook.schema docs/rlm-notebook.schema.json
	$(RUN) rlm_ipython.reference docs/magics.md

docs-site: $(INSTALLED)
	$(VENV)/bin/python docs/drawings/error_tree.py
	NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --strict --quiet
	@echo 'The site is in site/: open site/index.html'

notebooks: $(INSTALLED)
	$(VENV)/bin/python notebooks/execute.py

test-live: $(INSTALLED)
	$(RUN) pytest -m live

# uv resolves for every platform at once; it is needed for this alone.
COMPILE := uv pip compile pyproject.toml --universal --python-version 3.11 \
	--generate-hashes --no-annotate --no-header --no-emit-index-url --quiet --upgrade
lock: $(INSTALLED)
	$(RUN) $(PIP_INSTALL) uv
	$(RUN) $(COMPILE) --group dev --output-file requirements/dev.lock
	$(RUN) $(COMPILE) --group build --constraints requirements/dev.lock --output-file requirements/demo.lock

clean:
	rm -rf $(VENV) $(DEMO_VENV) .bench .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage build dist site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
