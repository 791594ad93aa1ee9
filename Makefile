# Fail-Storm: `make` prints this help.
.DEFAULT_GOAL := help
.PHONY: help run compare report example figures down engine images test teeth controls same test-pythons check bench
.PHONY: bench-full scenarios truth docs lock clean
.DELETE_ON_ERROR:

PYTHON ?= python3
PYTHONS ?= python3.12 python3.13
VENV   := .venv
BIN    := $(VENV)/bin
UV     := uv==0.13.9

# Only what the user set is passed on; everything else comes from config.yaml.
STORM := $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(AGENTS),--agent-count $(AGENTS)) \
         $(if $(KILL_FRACTION),--kill-fraction $(KILL_FRACTION)) $(if $(KILL_AT),--kill-at $(KILL_AT)) \
         $(if $(DURATION),--duration $(DURATION)) $(if $(WARMUP),--warmup $(WARMUP)) $(if $(SEED),--seed $(SEED)) \
         $(if $(TOPOLOGY),--topology $(TOPOLOGY)) $(if $(RUNTIME),--runtime $(RUNTIME)) $(ARGS)
FLAGS := $(if $(PROTOCOL),--protocol $(PROTOCOL)) $(if $(DETECTOR_MODE),--detector-mode $(DETECTOR_MODE)) $(STORM)
MANY  := $(if $(PROTOCOLS),--protocols $(PROTOCOLS)) $(if $(REPEATS),--repeats $(REPEATS)) $(if $(MODES),--modes $(MODES)) \
         $(if $(REFERENCE),--reference $(REFERENCE)) $(if $(ID),--id $(ID)) $(STORM)

CAPTURED := $(if $(PROTOCOL),--protocol $(PROTOCOL)) $(if $(DURATION),--duration $(DURATION)) $(ARGS)

# These commands one after the other, though a bound of one is broken (1), but not after anything worse.
each = worst=0; for part in $(1); do $(BIN)/python -m $$part || { worst=$$?; [ $$worst -le 1 ] || exit $$worst; }; done; exit $$worst

help: ## print this help
	@echo "Fail-Storm measures which agent-to-agent protocol survives a storm."
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18
	@echo
	@echo "Variables of run: PROTOCOL AGENTS KILL_FRACTION KILL_AT DURATION WARMUP SEED TOPOLOGY DETECTOR_MODE"
	@echo "                  SCENARIO RUNTIME ARGS, e.g.  make run PROTOCOL=json DURATION=24 ARGS=\"--debug\""
	@echo "Beside them for compare: PROTOCOLS REPEATS MODES REFERENCE ID, but neither PROTOCOL nor DETECTOR_MODE"

run: $(VENV)/ready ## one storm: make run PROTOCOL=json
	@$(BIN)/python -m orchestrator run $(FLAGS)

compare: $(VENV)/ready ## protocols side by side: make compare PROTOCOLS="json a2a" REPEATS=6 DURATION=16
	@$(BIN)/python -m orchestrator compare $(MANY)

report: $(VENV)/ready ## recompute a report from its journal: make report RUN=results/<id>
	@$(BIN)/python -m orchestrator report $(or $(RUN),results/latest)

example: $(VENV)/ready ## keep a comparison for committing: make example COMPARISON=results/compare-<id>
	@$(BIN)/python -m orchestrator export $(COMPARISON) $(ARGS)

figures: $(VENV)/ready ## compute the committed examples again and fill README and docs from them
	@$(BIN)/python -m orchestrator figures $(ARGS)

down: ## remove the container lab: what is left of the last run with RUNTIME=docker
	@PATH="/usr/bin:$$PATH" docker compose down --remove-orphans

engine: ## install and start a Docker engine (Debian, root)
	@docker/engine.sh

images: ## get the images of the container lab, without a registry too (Debian, root)
	@docker/images.sh

test: $(VENV)/ready-dev ## all tests, real storms included; those in containers where an engine answers
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-pythons: $(VENV)/ready-dev ## the protocols' tests on other Pythons: make test-pythons PYTHONS="python3.12 python3.13"
	@status=0; for python in $(PYTHONS); do \
		if ! $$python -c 'import sys' 2>/dev/null; then echo "fail-storm: $$python skipped, it is not installed"; continue; fi; \
		venv=$(VENV)/pythons/$$(basename $$python); echo "fail-storm: $$python in $$venv"; \
		{ $$python -m venv $$venv \
			&& UV_SYSTEM_CERTS=1 VIRTUAL_ENV=$$venv $(BIN)/uv pip install -q --compile-bytecode --require-hashes -r requirements-dev.lock \
			&& $$venv/bin/python -m pytest -q -n 2 --dist loadfile tests/protocols tests/conformance; } || status=1; \
	done; exit $$status

check: $(VENV)/ready-dev ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

teeth: $(VENV)/ready-dev ## broken agents must move their metrics: fills in docs/teeth.md; make teeth ARGS="--seeds 1 2"
	@$(BIN)/python -m tests.teeth teeth --docs docs/teeth.md $(ARGS)

controls: $(VENV)/ready-dev ## 20 runs without a kill must show nothing: fills in docs/teeth.md
	@$(BIN)/python -m tests.teeth controls --docs docs/teeth.md $(ARGS)

same: $(VENV)/ready-dev ## a protocol compared with itself must seldom differ: fills in docs/teeth.md
	@$(BIN)/python -m tests.teeth same --docs docs/teeth.md $(ARGS)

SHORT := --messages 0 --fragments 0

bench: $(VENV)/ready ## adapters beside their bare SDKs, the report, ten storms, the detectors: make bench ARGS="--protocol a2a"
	@$(call each,"benchmarks $(SHORT) $(ARGS)" benchmarks.storms benchmarks.detectors)

# What takes long of what the adapters and the report cost: many messages in a row, large documents, long journals.
LONG := --calls 0 --repeats 0 --report-lines 70000 200000 1000000 5000000

bench-full: $(VENV)/ready ## storms enough for every bound, then the detectors, then what takes long, an hour and more; interrupted, the same line goes on
	@$(call each,"benchmarks.storms --repeats 32" "benchmarks.detectors --full" "benchmarks $(LONG)")

scenarios: $(VENV)/ready ## every scenario over json and a2a must end well: make scenarios ARGS="--runtime docker"
	@$(BIN)/python -m benchmarks.scenarios $(ARGS)

truth: $(VENV)/ready ## journals held against packet captures of their storms, 8 agents and 4 (root, tshark): make truth PROTOCOL=json
	@$(call each,"benchmarks.truth $(CAPTURED)" "benchmarks.truth --agents 4 --repeats 3 $(CAPTURED)")

docs: $(VENV)/ready-dev ## render docs/metrics.md, docs/telemetry.md, docs/faults.md and the dashboards from the code
	@$(BIN)/python -m orchestrator.report_docs docs/metrics.md
	@$(BIN)/python -m orchestrator.telemetry.docs docs/telemetry.md
	@$(BIN)/python -m chaos.docs docs/faults.md
	@$(BIN)/python -m grafana.generate

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
