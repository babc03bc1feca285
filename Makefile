# The first target sets up: a virtual environment with the pinned packages. Nothing is needed before it but Python.
VENV ?= .venv
PYTHON ?= python3
RUN ?= runs/digits
WORKERS ?= 4
SECONDS ?= 180
SEED ?= 0

SEARCH = --network resnet9@0.125 --data digits --budget 1000B --strategy evolution --finalists 4 --seeds 3
INSTALL = $(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Tests of one group run in one worker, in the order of tests/conftest.py: the longest first.
PYTEST = OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder

.PHONY: search device test nightly fuzz lint format docs bench clean

search: $(VENV)/ready
	$(VENV)/bin/bankwise search $(SEARCH) --out $(RUN)

# The run of `make search`, classified by C on this computer and in an emulated microcontroller, and what that takes.
device: $(VENV)/ready
	test -f $(RUN)/summary.json || $(VENV)/bin/bankwise search $(SEARCH) --out $(RUN)
	$(VENV)/bin/python examples/device/digits.py $(RUN)

test: $(VENV)/ready
	@echo "about 20 minutes on two cores; -m 'not slow and not nightly' takes some minutes (CONTRIBUTING.md)"
	$(PYTEST) -m "not nightly"

nightly: $(VENV)/ready
	$(PYTEST) -m nightly

fuzz: $(VENV)/ready
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m fuzz --seconds $(SECONDS) --seed $(SEED)

lint: $(VENV)/ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(VENV)/ready
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

docs: $(VENV)/ready-docs
	$(VENV)/bin/python -m mkdocs build --strict

bench: $(VENV)/ready
	for script in benchmarks/*.py; do $(VENV)/bin/python $$script || exit 1; done

clean:
	rm -rf $(VENV)

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable '.[dev,nni,ray]'
	touch $@

$(VENV)/ready-docs: $(VENV)/ready
	$(INSTALL) --editable '.[docs]'
	touch $@
