# Multicast and UDP traffic test harness: lab runs and development by make targets.
# Every target that needs the environment makes it first: python3 (3.11 or newer) with venv, and make, are enough.

PYTHON    ?= python3
VENV      ?= .venv
INTERFACE ?=
GROUP     ?= 239.255.77.1:5077
DURATION  ?= 10s
RATE      ?= 1kpps
SIZE      ?= 200
SOURCE    ?=
SCENARIO  ?= demo
RUN       ?=
OUTPUT    ?=
OPTIONS   ?=
ARGS      ?=

BIN     := $(VENV)/bin
HARNESS := $(BIN)/harness
READY   := $(VENV)/.ready

# an option is passed only when its variable is set
interface = $(if $(INTERFACE),--interface $(INTERFACE))
source    = $(if $(SOURCE),--source $(SOURCE))
output    = $(if $(OUTPUT),--output $(OUTPUT))

.DEFAULT_GOAL := help
.PHONY: help setup run send receive analyze report lab lab-matrix lab-reboot bench test lint type check clean

help: ## list the targets and their variables
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "Variables: INTERFACE GROUP SOURCE RATE SIZE DURATION SCENARIO RUN OUTPUT OPTIONS (more options, as harness takes them)"
	@echo "Example:   make receive GROUP=239.1.2.3:5000 INTERFACE=eth1 DURATION=60s"

setup: $(READY) ## make the environment in .venv from pinned constraints

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11; run make with PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "$(PYTHON) has no venv module; install python3-venv"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,archive]'
	@touch $@

run: $(READY) ## send and receive through a known fault on loopback, analyze, plot, report (SCENARIO=file.toml for yours)
	$(HARNESS) run $(SCENARIO) $(output) $(OPTIONS)

send: $(READY) ## send probes: GROUP INTERFACE RATE SIZE DURATION
	$(HARNESS) send $(GROUP) $(interface) --rate $(RATE) --size $(SIZE) --duration $(DURATION) $(output) $(OPTIONS)

receive: $(READY) ## join, record, analyze, report: GROUP INTERFACE SOURCE DURATION
	$(HARNESS) receive $(GROUP) $(interface) $(source) --duration $(DURATION) $(output) $(OPTIONS)

analyze: $(READY) ## analyze a recording again: RUN=results/NAME
	$(HARNESS) analyze $(if $(RUN),$(RUN),$(error RUN is not set; write make analyze RUN=results/NAME)) $(OPTIONS)

report: $(READY) ## write plots and report of a recording again: RUN=results/NAME
	$(HARNESS) report $(if $(RUN),$(RUN),$(error RUN is not set; write make report RUN=results/NAME)) $(OPTIONS)

lab: $(READY) ## provoke each cause of a drop-out in namespaces and print which was named (SCENARIO=mute-querier for one)
	$(HARNESS) lab run $(if $(filter-out demo,$(SCENARIO)),$(SCENARIO)) $(output) $(OPTIONS)

lab-matrix: $(READY) ## the same with five seeds each, eleven pairs of causes and fifty healthy runs, as a confusion matrix
	$(HARNESS) lab run --seeds 5 --pairs --healthy 50 $(output) $(OPTIONS)

lab-reboot: $(READY) ## boot a guest twenty times, really, with power cuts and deaf sockets (as root; OPTIONS="--boots 3")
	$(BIN)/python -m harness.lab.guest $(OPTIONS)

bench: $(READY) ## measure beside iperf, mgen, sockperf, nuttcp and a bare loop (as root; OPTIONS=--quick for a short one)
	$(HARNESS) bench $(OPTIONS)

test: $(READY) ## run the tests (ARGS="-k name" for some of them)
	$(BIN)/python -m pytest $(ARGS)

lint: $(READY) ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(READY) ## check the types
	$(BIN)/mypy

check: lint type test ## lint, type and test

clean: ## remove the environment and the caches; results stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
