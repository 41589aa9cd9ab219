# MedQ-Engine: `make round` runs one round of the loop on real images, `make test` runs the tests.
PYTHON ?= python3
VENV   := .venv
READY  := $(VENV)/.ready
# Stages say `python`: they must find the environment's, also under a plain `make`.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export HF_HUB_DISABLE_TELEMETRY := 1
export MLFLOW_DISABLE_TELEMETRY := true

.DEFAULT_GOAL := help
.PHONY: help setup round rounds efficiency encoder-study route-study calibration bench-degradations bench-inference bench-finetune test lint mlflow lock clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22
	@echo "  In a shell of your own: . $(VENV)/bin/activate, then dvc repro, medq status, medq --help"

setup: $(READY) ## create .venv from requirements.lock

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	@echo "Installing $$(wc -l < requirements.lock) pinned packages, about 2 GB: a few minutes."
	pip install --disable-pip-version-check --quiet -r requirements.lock
	pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

round: $(READY) ## one round of the loop, unattended, with the simulated expert
	dvc repro route
	medq simulate-expert
	dvc repro
	@medq status

N ?= 3
rounds: $(READY) ## N=3 rounds in a row, each closed (committed, tagged, in MLflow), then their table
	@set -e; for i in $$(seq $(N)); do \
	  [ $$i -eq 1 ] || medq next; \
	  $(MAKE) --no-print-directory round; medq close; \
	done; medq history

efficiency: $(READY) ## strategies compared over seeds and rounds; goes on where it was stopped
	dvc repro data/dvc.yaml:baselines data/dvc.yaml:embeddings data/dvc.yaml:drafts models/dvc.yaml:replay
	python -m pipeline.efficiency

encoder-study: $(READY) ## which encoder finds the fault that it is shown (reads the simulated truth)
	dvc repro data/dvc.yaml:benchmark data/dvc.yaml:pool models/dvc.yaml:base
	python -m pipeline.encoder_study

route-study: $(READY) ## is the noise estimate right? simulated rounds (reads the simulated truth); docs/results/
	dvc repro cluster data/dvc.yaml:embeddings
	python -m pipeline.route_study

calibration: $(READY) ## the strength of mild and severe, for every degradation; docs/degradations/
	dvc repro data/dvc.yaml:images
	python -m pipeline.calibration

bench-degradations: $(READY) ## how fast faults are simulated and a pool is drawn
	dvc repro data/dvc.yaml:images
	python -m pipeline.speed

bench-inference: $(READY) ## closed questions: the usual loop against ours, and memory
	dvc repro data/dvc.yaml:benchmark models/dvc.yaml:base
	python -m pipeline.bench_memory
	python -m pipeline.bench_inference

bench-finetune: $(READY) ## fine-tuning: one turn a sample against several turns an image
	python -m pipeline.bench_finetune

test: $(READY) ## the tests
	@python -m pytest -n auto --dist worksteal && echo "Tests passed. Next: make round"

lint: $(READY) ## ruff, as CI runs it
	ruff check .
	ruff format --check .

mlflow: $(READY) ## open the comparison of rounds and baselines (after medq close)
	mlflow ui --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}"

lock: $(READY) ## resolve requirements.in anew into requirements.lock
	pip install --disable-pip-version-check --quiet -r requirements.in
	pip freeze --all --exclude-editable | grep -viE '^(pip|wheel)==' | sed 's/+cpu$$//' > requirements.lock

clean: ## drop scratch files (data, models and the environment stay)
	rm -rf .work .pytest_cache .ruff_cache
