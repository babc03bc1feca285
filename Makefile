# The first target sets up: a virtual environment with the pinned packages. Nothing is needed before it but Python.
VENV ?= .venv
PYTHON ?= python3
RUN ?= runs/digits
WORKERS ?= 2

SEARCH = --network tiny --data digits --budget 900B --strategy evolution --finalists 4 --seeds 3

.PHONY: search test lint bench clean

search: $(VENV)/ready
	$(VENV)/bin/bankwise search $(SEARCH) --out $(RUN)

test: $(VENV)/ready
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n $(WORKERS) --dist worksteal

lint: $(VENV)/ready
	$(VENV)/bin/ruff check .

bench: $(VENV)/ready
	for script in benchmarks/*.py; do $(VENV)/bin/python $$script || exit 1; done

clean:
	rm -rf $(VENV)

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,nni,ray]'
	touch $@
