# Two commands on a bare clone: `make demo` and `make test`. Needs Python 3.11 or newer, and make.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
REQUIREMENTS := requirements-dev.txt
# uv, where it is on the PATH, reads the same hashed file as pip and is a few seconds faster. Compiled, as pip does it: else
# where Python may not write bytecode every process that starts compiles everything, 3 s of a processor each.
UV := $(shell command -v uv 2>/dev/null)

# Of tests at once; auto is one more than there are processors.
PROCESSES ?= auto
SEED ?= 1
MINUTES ?= 10
UPLOADS ?= 5000
EVERY ?= 5
COUNT ?= 100000
ROUNDS ?= 3
ROWS ?= 10000,1000000,10000000
ORGS ?= 1,100,10000
BENCH := .venv-bench
RESULTS := .bench

.PHONY: help install demo example test chaos mutants lint types requirements schema clean \
  bench bench-quick bench-growth bench-compare bench-stream bench-claims bench-dispatch bench-memory bench-export soak

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## Create .venv from the hashed requirements; leaves .venv/bin/recordings

$(VENV)/.installed: $(REQUIREMENTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; say which with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; }
ifdef UV
	$(UV) venv --quiet --python $(PYTHON) --clear $(VENV)
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r $(REQUIREMENTS)
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
else
	$(PYTHON) -m venv --clear $(VENV) || \
	  { echo "python3 -m venv failed: on Debian and Ubuntu, apt-get install python3-venv"; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(REQUIREMENTS)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
endif
	@touch $@

demo: install ## The main job on one screen: three organisations, a provider that misbehaves, a worker killed
	@$(BIN)/recordings demo

example: install ## A call handler to start from: webhooks, an API and a page, with two organisations to sign in as
	@$(BIN)/python -m examples.call_handler

test: install ## Every test, on real PostgreSQL, Valkey, S3 and Celery workers, several files at once (PROCESSES=auto)
	@$(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile

chaos: install ## Ten minutes of faults of every part; nothing lost, doubled or wrong (SEED=1 MINUTES=10 UPLOADS=5000 EVERY=5)
	@$(BIN)/python -m tests.faults.chaos --seed $(SEED) --minutes $(MINUTES) --uploads $(UPLOADS) --every $(EVERY)

mutants: install ## Everything that isolates organisations taken away or weakened, one thing at a time; all of it noticed
	@$(BIN)/python -m tests.isolation.mutants

$(BENCH)/.installed: requirements-bench.txt
	$(PYTHON) -m venv --clear $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.txt
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

bench: $(BENCH)/.installed ## This system beside its peers, under 25 minutes; also bench-compare, -stream, -claims, -dispatch, -memory, -export
	@$(BENCH)/bin/python -m bench --rounds $(ROUNDS) --json $(RESULTS)/bench.json --picture docs/images/bench.svg --page docs/performance.md

bench-quick: $(BENCH)/.installed ## The same with few uploads and one round: does it run?
	@$(BENCH)/bin/python -m bench --quick --json $(RESULTS)/quick.json --picture $(RESULTS)/quick.svg

bench-growth: $(BENCH)/.installed ## How costs grow with rows and organisations (ROWS=10000,1000000,10000000 ORGS=1,100,10000)
	@$(BENCH)/bin/python -m bench.growth --rows $(ROWS) --orgs $(ORGS) --json $(RESULTS)/growth.json --picture docs/images/growth.svg --page docs/performance.md

bench-compare bench-stream bench-claims bench-dispatch bench-memory bench-export: bench-%: $(BENCH)/.installed
	@$(BENCH)/bin/python -m bench $* --rounds $(ROUNDS) --json $(RESULTS)/$*.json

soak: $(BENCH)/.installed ## 100,000 uploads by the same processes: memory without growth (COUNT=100000)
	@$(BENCH)/bin/python -m bench.soak $(COUNT) --json $(RESULTS)/soak.json --page docs/performance.md

lint: install ## Style and import rules
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports

types: install ## Types, strict
	@$(BIN)/mypy

requirements: install ## Pin again: rewrites the requirements files from pyproject.toml (needs uv)
	uv pip compile -q --universal --no-header --no-annotate --generate-hashes --python-version 3.11 pyproject.toml -o requirements.txt
	uv pip compile -q --universal --no-header --no-annotate --generate-hashes --python-version 3.11 --extra dev pyproject.toml -o requirements-dev.txt
	uv pip compile -q --universal --no-header --no-annotate --generate-hashes --python-version 3.11 --extra bench pyproject.toml -o requirements-bench.txt

schema: install ## Write schema/current.sql again from the migrations
	@$(BIN)/python -m tests.schema.write_page > schema/current.sql.new && mv schema/current.sql.new schema/current.sql

clean: ## Remove .venv and caches
	rm -rf $(VENV) $(BENCH) $(RESULTS) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
