# `make run` starts the demo, `make test` proves the whole; both prepare what they need by themselves.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install

.PHONY: run test check lock clean

# RESET=1 begins afresh.
run: .venv/run.stamp
	@$(BIN)/parvis demo $(if $(RESET),--reset)

test: check
	@.ci/apt-install tests || [ -z "$$PARVIS_TEST_STRICT" ]
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: .venv/test.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# After a change of pyproject.toml: every version with its hashes, for plain pip. Needs uv.
lock:
	uv lock
	uv export --quiet --locked --no-emit-project --no-dev --group build --no-header --format requirements-txt -o requirements.txt
	uv export --quiet --locked --no-emit-project --group build --no-header --format requirements-txt -o requirements-dev.txt

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/run.stamp: requirements.txt pyproject.toml | .venv/bin/pip
	@echo "Installing Parvis into .venv (once, and when its dependencies change)"
	@$(PIP) --require-hashes -r requirements.txt
	@$(PIP) --no-build-isolation --no-deps -e .
	@touch $@

.venv/test.stamp: requirements-dev.txt .venv/run.stamp
	@echo "Installing what the tests need into .venv"
	@$(PIP) --require-hashes -r requirements-dev.txt
	@touch $@

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	    { echo "Parvis needs Python 3.11, 3.12 or 3.13; name one with “make PYTHON=…”." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || .ci/apt-install python3-venv
	@$(PYTHON) -m venv --clear .venv
