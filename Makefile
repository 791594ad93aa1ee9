# Fail-Storm: `make` prints this help.
.DEFAULT_GOAL := help
.PHONY: help run report test check docs lock clean
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := uv==0.13.9

# Only what the user set is passed on; everything else comes from config.yaml.
FLAGS := $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(PROTOCOL),--protocol $(PROTOCOL)) \
         $(if $(AGENTS),--agent-count $(AGENTS)) $(if $(KILL_FRACTION),--kill-fraction $(KILL_FRACTION)) \
         $(if $(KILL_AT),--kill-at $(KILL_AT)) $(if $(DURATION),--duration $(DURATION)) \
         $(if $(WARMUP),--warmup $(WARMUP)) $(if $(SEED),--seed $(SEED)) $(if $(TOPOLOGY),--topology $(TOPOLOGY)) \
         $(if $(DETECTOR_MODE),--detector-mode $(DETECTOR_MODE)) $(if $(RUNTIME),--runtime $(RUNTIME)) $(ARGS)

help: ## print this help
	@echo "Fail-Storm measures which agent-to-agent protocol survives a storm."
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18
	@echo
	@echo "Variables of run: PROTOCOL AGENTS KILL_FRACTION KILL_AT DURATION WARMUP SEED TOPOLOGY DETECTOR_MODE"
	@echo "                  SCENARIO RUNTIME ARGS, e.g.  make run PROTOCOL=json DURATION=24 ARGS=\"--debug\""

run: $(VENV)/ready ## one storm: make run PROTOCOL=json
	@$(BIN)/python -m orchestrator run $(FLAGS)

report: $(VENV)/ready ## recompute a report from its journal: make report RUN=results/<id>
	@$(BIN)/python -m orchestrator report $(or $(RUN),results/latest)

test: $(VENV)/ready-dev ## all tests, real storms included
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder tests/e2e tests

check: $(VENV)/ready-dev ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: $(VENV)/ready ## render docs/metrics.md from the metrics' docstrings
	@$(BIN)/python -m orchestrator.report_docs docs/metrics.md

lock: $(VENV)/uv ## resolve the dependencies again
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -q -o requirements.lock --upgrade
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -q -o requirements-dev.lock --upgrade

clean: ## remove the virtual environment; results stay
	rm -rf $(VENV)

$(VENV)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "fail-storm: expected Python 3.11 or newer, got $$($(PYTHON) --version 2>&1); set PYTHON=python3.11"; exit 1; }
	@echo "fail-storm: making $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { echo "fail-storm: expected the venv module; on Debian: apt-get install python3-venv"; exit 1; }
	@$(BIN)/pip install -q --disable-pip-version-check $(UV)
	@touch $@

$(VENV)/ready: requirements.lock $(VENV)/uv
	@UV_SYSTEM_CERTS=1 VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --compile-bytecode --require-hashes -r requirements.lock
	@touch $@

$(VENV)/ready-dev: requirements-dev.lock $(VENV)/ready
	@UV_SYSTEM_CERTS=1 VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --compile-bytecode --require-hashes -r requirements-dev.lock
	@touch $@
