# Every target that runs Python sets up .venv first: from the locked requirements, with
# hashes, once. Afterwards nothing here needs a network until the requirements change.

VENV := .venv
PYTHON := $(VENV)/bin/python
PYTHONS ?= python3.13 python3.12 python3.11 python3
STAMP := $(VENV)/installed
REQUIREMENTS := requirements.txt requirements-dev.txt
UV_VERSION := 0.13.9
PIP_AUDIT_VERSION := 2.10.1
TERRAFORM ?= terraform
TERRAFORM_ROOTS := $(sort $(dir $(wildcard terraform/*/versions.tf terraform/*/*/versions.tf)))
RECENT := import sys; assert sys.version_info >= (3, 11)
ARGS ?=

export PYTHONPATH := src
# Images of containers often set it; every process that a test starts would compile Daybook again.
unexport PYTHONDONTWRITEBYTECODE

# A .venv whose Python has been removed is created again.
ifeq ($(wildcard $(PYTHON)),)
.PHONY: $(STAMP)
endif

.DEFAULT_GOAL := help
.PHONY: help run serve test lint bench bench-peers load storm faults-xlsx fuzz terraform-test docs e2e lock audit pin clean

help: ## Say what the targets do
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16
	@echo 'Arguments go through ARGS: make test ARGS="tests/unit -x"'

run: $(STAMP) ## Run the demo on this machine: MongoDB, sample entries, one batch
	$(VENV)/bin/daybook serve --demo $(ARGS)

serve: $(STAMP) ## Serve the functions on this machine
	$(VENV)/bin/daybook serve $(ARGS)

test: $(STAMP) ## Run all tests but the storms
	$(PYTHON) -m pytest -n 4 --dist worksteal -m "not storm" $(ARGS)

# ruff's rules S are bandit's checks.
lint: $(STAMP) ## Check style, formatting, types and unsafe calls
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

bench: $(STAMP) ## Measure time and memory
	$(PYTHON) -m bench $(ARGS)
	$(PYTHON) -m bench.parts
	$(PYTHON) -m bench.ledger
	$(PYTHON) -m bench.page
	$(PYTHON) -m bench.audit
	$(PYTHON) -m bench.cold_start

# Needs PyPI the first time: each peer gets an environment of its own under build/peers.
bench-peers: $(STAMP) ## Measure dlt, Singer, Airflow and pymongoarrow beside Daybook
	$(PYTHON) -m bench.peers $(ARGS)

load: $(STAMP) ## Run days of 5,000 and 10,000 entries through the function process
	$(PYTHON) -m bench.load $(ARGS)

storm: $(STAMP) ## Run the long fault storms, and slower repeats of other tests
	$(PYTHON) -m pytest -m storm -s --timeout 0 $(ARGS)

# The storms too; ARGS='-m "not storm"' leaves them out.
faults-xlsx: $(STAMP) ## Run all of tests/faults, storms included, with xlsx in place of CSV
	DAYBOOK_FAULTS_FORMAT=xlsx \
	  $(PYTHON) -m pytest tests/faults -n 4 --dist worksteal -m "storm or not storm" $(ARGS)

fuzz: $(STAMP) ## Run each fuzzer for DAYBOOK_FUZZ_SECONDS, half an hour by default
	DAYBOOK_FUZZ_SECONDS="$${DAYBOOK_FUZZ_SECONDS:-1800}" \
	  $(PYTHON) -m pytest tests/fuzz -n 4 --timeout 0 $(ARGS)

e2e: $(STAMP) ## Ask a real project and a real shared drive: ARGS="probe --project P --folder F"
	$(PYTHON) -m e2e $(ARGS)

# Terraform 1.11 or newer, and the registry for its providers; neither Python nor an account.
terraform-test: ## Check the format of the Terraform code, validate and test it
	$(TERRAFORM) fmt -check -diff -recursive terraform
	set -e; for root in $(TERRAFORM_ROOTS); do \
	  echo "--- $$root"; \
	  $(TERRAFORM) -chdir=$$root init -backend=false -input=false; \
	  $(TERRAFORM) -chdir=$$root validate; \
	  $(TERRAFORM) -chdir=$$root test; \
	done

docs: $(STAMP) ## Write the tables of Terraform's variables into the READMEs under terraform/
	$(PYTHON) ops/tables.py $(ARGS)

lock: $(STAMP) ## Pin the requirements again; ARGS=--upgrade takes newer versions
	$(PYTHON) -m pip install --quiet uv==$(UV_VERSION)
	for name in requirements requirements-dev; do \
	  $(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	    --no-header $(ARGS) $$name.in -o $$name.txt || exit 1; \
	done

# Not a part of lint: it asks https://osv.dev, and lint needs no network.
audit: $(STAMP) ## Ask whether a locked package has a published vulnerability
	$(PYTHON) -m pip install --quiet uv==$(UV_VERSION)
	$(VENV)/bin/uv tool run --quiet --from pip-audit==$(PIP_AUDIT_VERSION) pip-audit --strict \
	  --vulnerability-service osv --disable-pip --require-hashes $(REQUIREMENTS:%=-r %) $(ARGS)

# Needs the images' registries, Terraform 1.11 or newer and its registry.
pin: $(STAMP) ## Pin the pipeline's images by digest, and Terraform's providers by checksum
	TERRAFORM="$(TERRAFORM)" $(PYTHON) ops/pin.py

clean: ## Remove .venv, the local data and all caches
	rm -rf $(VENV) .venv-* .daybook build src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp holds the files it was made from, so that a new checkout of the same
# files, which only changes their times, installs nothing.
$(STAMP): $(REQUIREMENTS) pyproject.toml
	@set -e; \
	if ! $(PYTHON) -c "$(RECENT); import pip" 2>/dev/null; then \
	  for python in $(PYTHONS); do \
	    if $$python -c "$(RECENT); import ensurepip, venv" 2>/dev/null; then \
	      found=$$python; break; \
	    elif $$python -c "$(RECENT)" 2>/dev/null; then \
	      bare=$${bare:-$$python}; \
	    fi; \
	  done; \
	  if [ -z "$$found" ] && [ -n "$$bare" ]; then \
	    echo "$$bare lacks the venv module: install it (Debian, Ubuntu: apt-get install python3-venv)." >&2; \
	    exit 1; \
	  elif [ -z "$$found" ]; then \
	    echo "Daybook needs Python 3.11 or newer, and none of these is: $(PYTHONS). Install one (Debian, Ubuntu: apt-get install python3 python3-venv), or name yours: make PYTHONS=/path/to/python" >&2; \
	    exit 1; \
	  fi; \
	  echo "Setting up $(VENV) with $$found"; \
	  rm -f $(STAMP); \
	  $$found -m venv --clear $(VENV); \
	fi; \
	if ! cat $(REQUIREMENTS) pyproject.toml | cmp -s - $(STAMP); then \
	  echo "Installing the locked requirements, and daybook from this checkout: some minutes, once"; \
	  $(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes \
	    $(REQUIREMENTS:%=-r %); \
	  $(PYTHON) -m pip install --quiet --disable-pip-version-check --no-index --no-deps \
	    --no-build-isolation --editable .; \
	fi; \
	cat $(REQUIREMENTS) pyproject.toml > $(STAMP)
