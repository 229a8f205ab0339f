# The commands of nanobanana. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TYPESCRIPT := clients/typescript
TSC := $(TYPESCRIPT)/node_modules/.bin/tsc

# pytest rewrites each assertion of the tests: once, and not in each of its processes at each run.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test test-floor fuzz stress client compiler openapi dashboard lint format bench bench-compare bench-sockets demo image-check clean

help:  ## List the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.run  ## Serve everything on PORT (3001), with an embedded Redis when none is configured
	@exec $(BIN)/python manage.py serve

test: $(VENV)/.dev compiler  ## Run all tests
	@exec $(BIN)/python -m pytest

test-floor: $(VENV)/.dev compiler  ## Run all tests on the oldest Redis supported, 6.2
	@NANOBANANA_TEST_REDIS=floor exec $(BIN)/python -m pytest

fuzz: $(VENV)/.dev  ## Attack every call with 6,000 requests made up from the schema
	@FUZZ_CASES=6000 exec $(BIN)/python -m pytest -n0 -s -o timeout=0 tests/test_fuzz.py

stress: $(VENV)/.dev  ## Many changes at once, devices cut off, processes killed and frozen, for long
	@STRESS=1 FRAMES=10000 exec $(BIN)/python -m pytest -n0 -s -o timeout=0 -m "stress or long"

client: $(TSC)  ## Build the TypeScript client
	@npm run --silent --prefix $(TYPESCRIPT) build

openapi: $(VENV)/.run  ## Write docs/openapi.yaml anew
	@$(BIN)/python manage.py openapi > docs/openapi.yaml

dashboard:  ## Write Grafana's dashboard anew
	@$(PYTHON) -m scripts.grafana_dashboard > deploy/grafana/dashboards/nanobanana.json

lint: $(VENV)/.dev  ## Check style, types and the import rule
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.dev  ## Format the code and mend what can be mended
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev  ## Print CPU time per request, one worker
	@exec $(BIN)/python -m bench.requests

bench-sockets: $(VENV)/.dev  ## Print what sockets cost: connecting, idling, delivering
	@exec $(BIN)/python -m bench.sockets

bench-compare: $(VENV)/.dev  ## Print the same beside a FastAPI server, and an Express one where there is npm
	@$(BIN)/pip install --quiet --constraint constraints.txt --requirement bench/requirements.txt
	@if command -v npm > /dev/null; then npm install --silent --no-audit --no-fund --no-package-lock --prefix bench/express; fi
	@exec $(BIN)/python -m bench.compare $(ARGS)

demo: $(VENV)/.run  ## Run the demonstration against a running server
	@exec $(BIN)/python manage.py demo $(ARGS)

image-check:  ## Take the steps of the Dockerfile without Docker and prove the result, as root on Linux
	@$(PYTHON) -m scripts.prove_image

clean:  ## Remove the virtual environment and caches; data under var/ stays
	rm -rf $(VENV) $(TYPESCRIPT)/node_modules $(TYPESCRIPT)/dist .pytest_cache .ruff_cache .mypy_cache .import_linter_cache

# Without it the tests of the TypeScript client are skipped, and say so.
compiler:
	@if command -v npm > /dev/null; then $(MAKE) --no-print-directory $(TSC) || true; fi

$(TSC): $(TYPESCRIPT)/package.json
	@echo "Getting the TypeScript compiler ..."
	@npm install --prefix $(TYPESCRIPT) --no-audit --no-fund --loglevel error --fetch-retries 1 --fetch-timeout 20000
	@touch $@

$(VENV)/.run: requirements.txt constraints.txt
	@$(PYTHON) scripts/environment.py requirements.txt $@

$(VENV)/.dev: requirements-dev.txt requirements.txt constraints.txt
	@$(PYTHON) scripts/environment.py requirements-dev.txt $@
