# The two commands of the README are `make demo` and `make test`; the rest is what they are made of.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
SOURCES := store flows console tests

.PHONY: demo test soak lint types bench power mutants lock clean

demo: $(INSTALLED)
	$(BIN)/assay demo $(if $(ONCE),--once)

test: $(INSTALLED) lint types
	$(BIN)/python -m pytest -n 2 --dist loadgroup

# What takes minutes: whole roads (the tutorial, parity with Prefect, up and down), and much more of kills, races and loads.
soak: $(INSTALLED)
	ASSAY_SOAK=1 $(BIN)/python -m pytest tests/test_tutorial.py tests/e2e/test_parity.py tests/e2e/test_up.py tests/console/test_new.py tests/test_bench.py \
	  tests/store/test_kills.py tests/flows/serving/test_load.py tests/flows/serving/test_nonsense.py tests/flows/faults/test_faults.py

lint: $(INSTALLED)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/lint-imports

types: $(INSTALLED)
	$(BIN)/mypy

# Writes its table into docs/bench.md; `make bench SMALL=1` is a quick look that writes nothing.
bench: $(INSTALLED)
	$(BIN)/python -m tests.bench $(if $(SMALL),--small,--keep)

# Clean pipelines of many kinds, all checks, all faults: writes docs/power.md. What is finished is not run again (.power/).
power: $(INSTALLED)
	$(BIN)/python -m tests.power

# Small errors in the gate's sources, one at a time, before their own tests: writes docs/mutants.md. FULL=1 tries all and not a sample.
mutants: $(INSTALLED)
	$(BIN)/python -m tests.mutants $(if $(FULL),--full)

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 11) else 'assay needs Python 3.11 or newer; this is ' + sys.version.split()[0])"
	@$(PYTHON) -c "import venv, ensurepip" || (echo "Python's venv is missing: on Debian, apt-get install python3-venv" && exit 1)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep -o '^uv==[0-9.]*' requirements.lock)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.lock \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(INSTALLED)

lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-header \
	  --extra demo --extra dev pyproject.toml --output-file requirements.lock

clean:
	rm -rf .venv .demo .bench .power .mutants
