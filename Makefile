PYTHON ?= python3
PORT ?= 8000
ARGS ?=
WORKERS ?= 2
BIN := .venv/bin

.PHONY: run test check bench bench-peers parity conformance chaos faults nightly mutation install install-test chromium format requirements

run: install
	@exec $(BIN)/python manage.py up --port $(PORT) $(ARGS)

test: install-test chromium
	@$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

check: install-test
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/bandit --quiet --recursive --configfile pyproject.toml .
	@$(BIN)/python -m pytest -q tests/house

bench: install-test
	@found=0; for file in bench/*.py; do [ -e "$$file" ] || continue; found=1; PYTHONPATH=. $(BIN)/python -P "$$file" || exit 1; done; \
	[ $$found = 1 ] || echo "No benchmarks yet."
	@$(MAKE) --no-print-directory bench-peers

# Other people's engines on the same jobs, in an environment of their own; ARGS="--only sweeps" for a part.
bench-peers:
	@$(PYTHON) requirements/install.py bench
	@PYTHONPATH=. .venv-bench/bin/python -P -m bench.peers.table $(ARGS)

# ARGS="--data FOLDER" runs each over its window; see docs/parity.md.
parity: install-test
	@$(BIN)/python -m tests.journeys.parity $(ARGS)

# Other people's clients against the local exchange, in an environment of their own.
conformance: install
	@$(PYTHON) requirements/install.py conformance
	@.venv-conformance/bin/python -m pytest -q -c tests/conformance/pytest.ini tests/conformance $(ARGS)

# The table of faults (docs/faults.md): which are proven, which fail, which are absent and why.
faults: install-test chromium
	@$(BIN)/python -m pytest -q -m "fault and not nightly" -p tests.faults.plugin -n $(WORKERS) $(ARGS)

# The long tiers: a thousand histories on PostgreSQL and whatever else takes hours.
nightly: install-test
	@$(BIN)/python -m pytest -m nightly -n 0 -o timeout=14400 $(ARGS)

# Puts wrong turns into the money's code and sees whether the pure tests notice; ARGS="--again" for what lived and what was left.
mutation:
	@$(PYTHON) requirements/install.py mutation
	@.venv-mutation/bin/python -m tools.mutation $(ARGS)

# Kills real processes under load; ARGS="--kills 10" for a short one, half an hour without.
chaos: install-test
	@$(BIN)/python -m tools.chaos $(ARGS)

format: install-test
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

install:
	@$(PYTHON) requirements/install.py run

install-test:
	@$(PYTHON) requirements/install.py test

chromium:
	@$(PYTHON) requirements/chromium.py

# Pin anew from pyproject.toml; needs uv.
requirements:
	uv pip compile $(PINNING) pyproject.toml -o requirements/run.txt
	uv pip compile $(PINNING) pyproject.toml --group test -c requirements/run.txt -o requirements/test.txt
	uv pip compile $(PINNING) pyproject.toml --group mutation -c requirements/test.txt -o requirements/mutation.txt
	uv pip compile $(PINNING) --group conformance -o requirements/conformance.txt
	uv pip compile $(PINNING) --group bench -o requirements/bench.txt

PINNING := --no-config --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
	--python-version 3.11 --quiet
