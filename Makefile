# Every target builds .venv first if it is missing.
PYTHON ?= python3
BIN := .venv/bin
SCALE ?= cpu
KILLS ?= 100
TABLES := $(basename $(notdir $(wildcard conf/table/*_table*.yaml)))
FIGURES := $(basename $(notdir $(wildcard conf/figure/*.yaml)))

# where Python keeps no compiled files, every process of the suite would compile torch anew
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint setup smoke bench reproduce-tables reproduce-figures report faults advisories docs

demo: .venv/ready  ## the main job on the embedded default: digits, swRD, PGD
	$(BIN)/python run.py

test: .venv/ready  ## the whole suite
	$(BIN)/python -m pytest -n 3 --dist worksteal

lint: .venv/ready  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy vqexp hydra_plugins
	$(BIN)/lint-imports --no-logo --no-cache

setup: .venv/ready  ## the environment alone

# Further settings, such as a checkpoint or a store, go into ARGS. Resumable; several machines may share a store.
# ARGS=dry_run=true says how long it all takes on this machine, and computes nothing.
reproduce-tables: .venv/ready  ## every cell of every table at SCALE
	$(BIN)/python scripts/reproduce.py $(TABLES) scale=$(SCALE) $(ARGS)

reproduce-figures: .venv/ready  ## every cell of every figure at SCALE, and the drawings
	$(BIN)/python scripts/reproduce.py $(FIGURES) scale=$(SCALE) $(ARGS)

smoke: .venv/ready  ## all tables and figures on digits in minutes: a check of the machinery, no measurement
	set -e; home=$$(mktemp -d); trap 'rm -rf "$$home"' EXIT; \
	VQEXP_HOME=$$home OMP_NUM_THREADS=1 $(MAKE) -j2 reproduce-tables reproduce-figures SCALE=smoke \
	> $$home/log 2>&1 || { tail -n 50 $$home/log; exit 1; }

bench: .venv/ready  ## the quantizers' speed on this CPU beside others', into benchmarks/cpu.json
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[bench]'
	$(BIN)/python benchmarks/cpu.py --out benchmarks/cpu.json

docs: .venv/ready  ## the pages of docs/ as a site in site/, with the README's picture drawn anew
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[docs]'
	$(BIN)/python scripts/verdicts.py results/audits.csv docs/verdicts.png
	$(BIN)/python -m mkdocs build --strict --quiet

faults: .venv/ready  ## kills, damage and bad settings by the hundred: results/reliability.md
	OMP_NUM_THREADS=1 $(BIN)/python scripts/faults.py $(KILLS)

advisories: .venv/ready  ## known vulnerabilities of the installed packages, where an advisory database can be reached
	$(BIN)/python scripts/advisories.py

report: .venv/ready  ## results/ from the records in the store
	$(BIN)/python scripts/report.py

.venv/ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed: make PYTHON=python3.11'; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[dev]'
	touch $@
