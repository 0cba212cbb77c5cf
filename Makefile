# The two commands to remember: `make run` and `make test`. `make help` lists the rest.
PORT ?= 8000
PYTHON ?=
BIN := .venv/bin
MANAGE := $(BIN)/python manage.py
# Empty files that say when something was done; newer ingredients have it done again
DONE := .venv/.done
STATIC := static-root/staticfiles.json
TRANSLATIONS := $(patsubst %.po,%.mo,$(wildcard locale/*/LC_MESSAGES/*.po))

.PHONY: help run setup demo lint check test tools translations wheel sbom image bench bench-peers clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

run: setup ## set everything up, then serve on PORT (8000) with a demo project; Ctrl-C stops it
	@$(MANAGE) migrate --verbosity 0
	@$(MANAGE) demo --hide-users
	@exec $(MANAGE) serve --port $(PORT) --show-demo

setup: $(DONE)/installed $(STATIC) translations ## virtual environment, dependencies, static files, translations
	@:

demo: setup ## make the demo project and its users
	@$(MANAGE) migrate --verbosity 0
	@$(MANAGE) demo

lint: $(DONE)/installed-dev translations ## lint, format, types, migrations in step
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy .
	@$(MANAGE) makemigrations --check --dry-run
	@$(BIN)/python -m scripts.module_map --check

check: lint ## lint and the fast tests: under a minute
	@$(BIN)/pytest -q -n 2 -m "not outer and not slow"

test: lint tools setup ## everything: also PostgreSQL, Azurite, Redis, Chromium and TensorFlow, which it installs and starts
	@echo "The fast tests on PostgreSQL"
	@$(BIN)/python -m scripts.services postgres -- $(BIN)/pytest -q -n 2 -m "not outer"
	@echo "All tests, on SQLite and with real servers"
	@$(BIN)/pytest -q -n 2 --dist loadscope

tools: $(DONE)/installed-dev ## install what the outer tests need beside Python
	@scripts/install-tools

translations: $(TRANSLATIONS) ## compile the translations (gettext is not needed)
	@:

wheel: $(DONE)/installed-dev setup ## build the wheel of `pip install classifr` in dist/
	@$(BIN)/python -m hatchling build --target wheel

image: ## build the container image classifr:latest, by podman or docker
	@scripts/build-image classifr:latest

sbom: setup ## list what is installed as CycloneDX in dist/sbom.json
	@scripts/write-sbom dist/sbom.json

bench: setup $(DONE)/installed-dev ## measure: requests per second, add_category + retrain, a million rows
	@$(BIN)/python -m bench.run

bench-peers: setup $(DONE)/installed-dev ## measure beside FastAPI, LitServe, BentoML, MLServer and Ray Serve (1 GB in .bench/)
	@$(BIN)/python -m bench.run peers

clean: ## remove what the targets above made, but not your data in var/
	rm -rf .venv .tools .bench dist static-root .mypy_cache .ruff_cache .pytest_cache .hypothesis $(TRANSLATIONS)

$(DONE)/venv:
	@scripts/make-venv .venv "$(PYTHON)"
	@mkdir -p $(DONE) && touch $@

$(DONE)/installed: requirements.txt $(DONE)/venv
	@echo "Installing the dependencies (a minute or two at the first time)."
	@scripts/install requirements.txt "$(PYTHON)"
	@mkdir -p $(DONE) && touch $@

$(DONE)/installed-dev: requirements-dev.txt $(DONE)/installed
	@echo "Installing the development extras."
	@scripts/install requirements-dev.txt "$(PYTHON)"
	@mkdir -p $(DONE) && touch $@

$(STATIC): $(DONE)/installed $(shell find static -type f)
	@$(MANAGE) collectstatic --noinput --verbosity 0
	@touch $@

%.mo: %.po $(DONE)/installed
	@$(BIN)/pybabel --quiet compile -i $< -o $@
