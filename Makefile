# Every target sets up its own virtual environment first; `VENV=` and `PYTHON=` choose another.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SWEEP ?= where_to_drop

.PHONY: sweep test soak mutants families check ui base family reproduce format
.DELETE_ON_ERROR:

sweep: $(VENV)/.installed  ## the paper's Table 5 for a small model, in minutes
	$(BIN)/python sweeps/$(SWEEP).py

test: $(VENV)/.installed  ## every test; CPU seconds by folder at its end (1,620 in all, 6,026 tests, 2026-12-01)
	PYTHONDONTWRITEBYTECODE= PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -q

soak: $(VENV)/.installed  ## the long ones: what `make test` kills and resumes once, for every sweep
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pytest -q -m soak

mutants: $(VENV)/.installed  ## small changes of the code, one at a time: do the tests notice?
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/mutants.py

families: $(VENV)/.installed  ## docs/families.md: which of transformers' decoders lose layers rightly
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/families.py --write docs/families.md

check: $(VENV)/.installed  ## style, types, and which module may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

ui: $(VENV)/.installed  ## MLflow's pages on what the sweeps left
	$(BIN)/raydistill ui

base: $(VENV)/.installed  ## train a base anew by the laptop scale's recipe (half an hour)
	$(BIN)/raydistill base --scale laptop

family: $(VENV)/.installed  ## train the six bases of the family anew, one after another (half an hour)
	for scale in laptop_family $(addprefix laptop_family+width=,16 32 48 96 128); do \
		$(BIN)/raydistill base --scale $$scale || exit; \
	done

reproduce: $(VENV)/.installed  ## the long ones: healing until curves cross, a masked model that leaves the plateau (40 minutes)
	$(BIN)/python sweeps/where_to_drop.py --age 320B --location all --budget 100B
	$(BIN)/python sweeps/reduced_scale.py --size reduced+embedding=64+feed_forward=256+lr=0.001+mask=0.4+schedule=cosine+text=bbe+tokens=12M+width=64

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile \
		--constraint constraints.txt --editable '.[laptop,dev]'
	$(BIN)/python -m compileall -q -j 0 $(VENV)/lib > /dev/null || true  # pip compiles on one core
	touch $@
