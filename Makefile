# Trainyard: what a developer can do. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:

UV_VERSION := 0.13.9
PYTHON ?= python3
UV := .cache/uv-tool/bin/uv
PY := .venv/bin/python
PY_TRAINER := .venv-trainer/bin/python
LOCAL := $(PY) -m trainyard_local
PYTEST_ARGS ?=
BENCH ?= *

.PHONY: help setup laptop demo test test-unit test-trainer test-integration test-faults test-e2e test-full bench lint \
        format crds up down status images clean

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

laptop: .cache/stamps/trainer ## Train a model on this machine, without a cluster
	@if [ ! -d laptop/images ]; then
	  rm -rf laptop/images.part
	  $(PY_TRAINER) -m trainyard_demo.data nuclei --into laptop/images.part
	  mv laptop/images.part laptop/images
	fi
	$(PY_TRAINER) -m trainyard.cli run -f examples/laptop --volume images=laptop/images/examples/nuclei \
	  --output-folder laptop/runs

demo: setup ## Train three models on two real Kubernetes nodes of this machine
	@$(PY) -m trainyard_demo

test: lint test-unit test-trainer test-integration test-faults test-e2e ## Everything that CI runs
	@echo "make test: everything passed"

test-unit: setup ## Unit tests of the control side, in seconds
	@$(PY) -m pytest tests/unit --ignore tests/unit/trainer $(PYTEST_ARGS)

test-trainer: setup ## Trainer tests, which really train (tiny)
	@$(PY_TRAINER) -m pytest tests/unit/trainer $(PYTEST_ARGS)

test-integration: setup ## The operator on a real control plane with a simulated kubelet
	@$(PY) -m pytest tests/integration -m "not full" $(PYTEST_ARGS)

test-faults: setup ## The operator killed, paused and lied to: one of each kind
	@$(PY) -m pytest tests/faults -m "not full" $(PYTEST_ARGS)

test-e2e: setup ## One run on two real nodes with the real image
	@$(PY) -m pytest tests/e2e -m "not full" $(PYTEST_ARGS)

test-full: test ## Also the breadth that does not fit into CI
	@$(PY) -m pytest tests/integration tests/faults tests/e2e -m full $(PYTEST_ARGS)

bench: setup ## Ratios against peers: make bench, or make bench BENCH=snapshot
	@for file in tests/bench/bench_$(BENCH).py; do
	  echo "==> $$file"
	  $(PY) -m "$$(tr / . <<< "$${file%.py}")"
	done

lint: setup ## Format, lint, types, layers, generated files
	@.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy -p trainyard -p trainyard_local -p trainyard_demo -p trainyard_trainer
	.venv/bin/lint-imports
	$(PY) -m trainyard.api.crd --check

format: setup ## Format and mend what can be mended
	@.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

crds: setup ## Generate crds/ from the API types
	@$(PY) -m trainyard.api.crd

up: setup ## Start the local cluster: two real nodes, S3
	@$(LOCAL) up

down: setup ## Stop it; nothing stays behind
	@$(LOCAL) down

status: setup ## What the local cluster does
	@$(LOCAL) status

images: setup ## Build the two images and load them into the local cluster
	@$(LOCAL) images build
	$(LOCAL) images load

clean: ## Remove the environments of this clone (the machine's cache stays)
	@rm -rf .venv .venv-trainer .cache demo-output .mypy_cache .ruff_cache .pytest_cache

# ------------------------------------------------------------------------------------------------
setup: .cache/stamps/dev .cache/stamps/trainer ## Install uv and the two environments

$(UV):
	@command -v $(PYTHON) >/dev/null || { echo "trainyard: $(PYTHON) is missing: install Python 3.11 or later, or set PYTHON=..." >&2; exit 1; }
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "trainyard: $$($(PYTHON) --version) is too old: install Python 3.11 or later, or set PYTHON=..." >&2; exit 1; }
	$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "trainyard: $(PYTHON) has no venv: install it (Debian: apt install python3-venv)" >&2; exit 1; }
	echo "==> installing uv $(UV_VERSION)"
	$(PYTHON) -m venv .cache/uv-tool
	.cache/uv-tool/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# The operator's environment has no torch, the trainer's no kopf.
.cache/stamps/dev: pyproject.toml uv.lock | $(UV)
	@echo "==> environment of the operator and the tools (.venv)"
	UV_PROJECT_ENVIRONMENT=.venv $(UV) sync --frozen --python $(PYTHON) --extra operator --group dev
	mkdir -p $(@D) && touch $@

.cache/stamps/trainer: pyproject.toml uv.lock | $(UV)
	@echo "==> environment of the trainer (.venv-trainer, about 6 GB: PyTorch carries CUDA)"
	UV_PROJECT_ENVIRONMENT=.venv-trainer $(UV) sync --frozen --python $(PYTHON) --extra trainer --extra cli --group test --group local
	mkdir -p $(@D) && touch $@
