# Every target builds .venv first if it is missing.
PYTHON ?= python3
BIN := .venv/bin
SCALE ?= cpu
TABLES := vq_table1 vq_table2

.PHONY: demo test lint setup reproduce-tables report

demo: .venv/ready  ## the main job on the embedded default: digits, swRD, PGD
	$(BIN)/python run.py

test: .venv/ready  ## the whole suite
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: .venv/ready  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy vqexp

setup: .venv/ready  ## the environment alone

# Further settings, such as a checkpoint or a store, go into ARGS.
reproduce-tables: .venv/ready  ## every cell of every table at SCALE, resumable
	set -e; for table in $(TABLES); do $(BIN)/python run.py -m table=$$table scale=$(SCALE) $(ARGS); done

report: .venv/ready  ## results/ from the records in the store
	$(BIN)/python scripts/report.py

.venv/ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed: make PYTHON=python3.11'; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[dev]'
	touch $@
