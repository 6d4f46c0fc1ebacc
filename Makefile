# `make run` starts everything; `make test` and `make lint` are what the CI runs. Settings come from the environment:
#   PORT=8001 ISENGARD_DATA_DIR=/var/lib/isengard make run
PYTHON ?= python3
VENV := .venv
# Most tests wait for processes rather than compute. One at a time, as for a debugger: `make test TEST_WORKERS=0`.
TEST_WORKERS ?= 3
# Two stamps, so that running Isengard does not install what only its developers need.
RUN_STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev

.PHONY: run test chaos conformance screenshots lint openapi constraints format clean venv venv-dev
.DEFAULT_GOAL := run

# `exec`, so that a signal to the process make started is a signal to the supervisor.
run: $(RUN_STAMP)
	@exec $(VENV)/bin/python -m isengard.supervisor --stop-with-parent

# One file or test: `make test ARGS="tests/jobs -k cancel"`. Everything on PostgreSQL: `make test DB=postgresql`.
test: $(DEV_STAMP)
	ISENGARD_TEST_DATABASE=$(DB) $(VENV)/bin/python -m pytest -n $(TEST_WORKERS) --dist loadfile $(ARGS)

# Jobs of both kinds under seeded faults, then an audit; as long as told: `make chaos JOBS=1000 FAULTS=200 DB=postgresql`.
JOBS ?= 100
FAULTS ?= 30
SEED ?= 1
DB ?= sqlite
chaos: $(DEV_STAMP)
	$(VENV)/bin/python -m tests.faults.harness --jobs $(JOBS) --faults $(FAULTS) --seed $(SEED) --db $(DB)

# The behaviours that the stand-ins and the real engines share. With one of the real ones (docs/engines.md):
#   make conformance ISENGARD_TEST_AI_TOOLKIT_DIR=/opt/ai-toolkit ISENGARD_TEST_AI_TOOLKIT_PYTHON=/opt/ai-toolkit/venv/bin/python
conformance: $(DEV_STAMP)
	$(VENV)/bin/python -m pytest -v -m "" --durations=20 tests/conformance $(ARGS)

# The pictures in docs/images, taken of a demo in a browser. Some of them: `make screenshots ONLY="overview job-running"`.
screenshots: $(DEV_STAMP)
	$(VENV)/bin/python -m tests.browser.screenshots docs/images $(ONLY)

lint: $(DEV_STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy .
	$(VENV)/bin/lint-imports

# After a change of the API that is meant: what the tests compare its OpenAPI document with.
openapi: $(DEV_STAMP)
	$(VENV)/bin/python manage.py spectacular --validate --fail-on-warn --format openapi-json \
		--file tests/contract/openapi.json

format: $(DEV_STAMP)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

venv: $(RUN_STAMP)

venv-dev: $(DEV_STAMP)

# After a change of requirements*.txt, in an environment of its own, so that nothing installed by hand slips in.
constraints:
	rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	sed '/^-c /d' requirements.txt > build/constraints/requirements.txt && cp requirements-dev.txt build/constraints/
	build/constraints/bin/python -m pip install --quiet -r build/constraints/requirements-dev.txt
	head -1 constraints.txt > build/constraints/new && build/constraints/bin/python -m pip freeze >> build/constraints/new
	mv build/constraints/new constraints.txt

# What was trained and generated, in data/, stays.
clean:
	rm -rf $(VENV) build htmlcov .coverage .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './data/*' -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo 'Isengard needs Python 3.11 or newer, and "$(PYTHON)" is not: install it, or name it: make PYTHON=python3.11' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ echo 'The venv module of "$(PYTHON)" is missing: on Debian and Ubuntu, apt install python3-venv' >&2; exit 1; }
	@echo 'Making $(VENV)'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(RUN_STAMP): requirements.txt constraints.txt | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(DEV_STAMP): requirements.txt requirements-dev.txt constraints.txt | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $(RUN_STAMP) $@
