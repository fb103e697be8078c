# `make COMMAND NAME=value`: the commands stand in serving/cli and reach it by one rule; what concerns the code has rules here.

FITTING = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))
# What the extensions need that stack.toml turns on.
EXTRAS_ON = from pathlib import Path; from foundation.extensions import find, read_names; \
  print(*('--extra=' + find(name).extra for name in read_names(Path('stack.toml')) if find(name).extra))
PYTHON ?= $(or $(wildcard .venv/bin/python),$(shell for p in python3 python3.13 python3.12 python3.14 python3.11; do \
  $$p -c "$(FITTING)" 2>/dev/null && echo $$p && break; done),python3)
TORCH ?= cpu
BIN := .venv/bin
programs := serving.cli.main
MAKEFLAGS += --no-builtin-rules

define help_text
make COMMAND NAME=value ...   Values in [ ] may be left out. Most commands take STACK=file, instead of stack.toml
(export SIXPLY_STACK=file for all of them); reports take JSON=file too.

Start$(start_text)
  make ask            an answer with its sources   Q="..." [TENANT=name] [ROLE=agent] [PLAN=1] [THREAD=conversation] [AS_OF=2025-03-31]
  make trace          what happened for an answer: each step, its time, its money, who approved what   ID=last, or a trace's first digits
  make ingest         take in your documents: files, folders or a web address   SRC=path [TENANT=name] [PRUNE=1: take out what left the folder]
  make serve          the API, and a page to open in the browser; on this machine only until told otherwise
  make doctor         is anything wrong with this machine or configuration, and what to do about it

Change
  make adapter        write the one file of a new part, with what is to be filled in   PORT=retrieval/vectors NAME=acme
                      what else a system can have, its extensions: make extensions, make add NAME=audit, make remove NAME=audit
  make contracts      which promises of its port a part keeps   [PORT=retrieval/vectors] [NAME=acme|my_pkg.acme:build|all] [OPTIONS='{}']

Judge
  make evaluate       ask questions with known answers (the golden set) of your documents, and score what comes   [GOLDEN=file] [LIMIT=20]
  make gate           did any score fall since the committed baseline? fails if so   [RENEW=1]

Code
  make setup          install everything (the other commands do it where it is missing)   [PYTHON=python3.12] [WITH=finetune,postgres,qdrant,ray,redis] [TORCH=auto: your GPU's build]
  make test           lint, types, layers and all tests: what CI runs   [CORE=1: those of the six layers alone] [ARGS="tests/unit -x"]
                      a layer's own tests and the guards, in about a minute: make test-quick LAYER=retrieval [ARGS=-x]
  make check          lint, format, types and layers alone; in seconds, but for the first time
  make format         let ruff mend what it can
  make lock           pin the newest versions that pyproject.toml allows   [ARGS=--upgrade]
  make clean          remove what runs have written, keep .venv and weights

The other commands go by make too: `.venv/bin/sixply --help` lists them all in groups$(more_text).
`.venv/bin/sixply COMMAND --help` says what a command takes: its --tenant is TENANT=name here, its --plan PLAN=1.
endef

.DEFAULT_GOAL := help
rules := help setup test test-quick check format docs lock clean
# What proves the template and shows it at work; both folders can be deleted.
-include examples/examples.mk
-include lab/lab.mk
.PHONY: $(rules) _base _dev

# The values go to the command through the environment, as they were given: text in Q may hold quotes, dollars and semicolons.
test.takes := ARGS CORE
test-quick.takes := LAYER ARGS
lock.takes := ARGS
setup.takes := WITH
goals := $(or $(MAKECMDGOALS),help)
given := $(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),$(name)))
values := $(filter-out SIXPLY_% PYTHON TORCH BIN $(foreach goal,$(goals),$($(goal).takes)),$(given))
$(foreach name,$(values),$(eval export override $(name) := $$(value $(name))))
ifeq ($(filter-out $(rules),$(goals)),)
$(if $(values),$(error make $(goals) takes no value named $(values). It takes: $(foreach goal,$(goals),$($(goal).takes)) PYTHON TORCH. What \
  is for another program goes before it: $(firstword $(values))=... make $(goals)))
endif

%: _base
	@$(BIN)/python -m serving.cli.make $@ --values $(values) --goals $(goals) --rules $(filter-out _%,$(rules)) --programs $(programs)

adapter contracts $(if $(filter-out 0 no false off,$(DRY)),,update): _dev
sources: corpus # its former name
Makefile examples/examples.mk lab/lab.mk: ;

help:
	@:$(info $(help_text))

_base:
	@$(PYTHON) -m foundation.machine.install --quiet --torch "$(TORCH)"

_dev:
	@$(PYTHON) -m foundation.machine.install --quiet --torch "$(TORCH)" --dev

setup:
	@$(PYTHON) -m foundation.machine.install --torch "$(TORCH)" $(if $(WITH),--with "$(WITH)")

# All tests go to several processes, each file to one of them, so that its fixtures are built once; named tests go to one.
all_tests := --numprocesses=auto --dist=loadfile --no-loadscope-reorder -m "not nightly" \
  $(if $(filter-out 0 no false off,$(CORE)),$(patsubst %,--ignore=tests/%,extensions examples lab docs))
test: _dev
	@$(BIN)/python -m pytest $(if $(findstring tests/,$(ARGS)),,$(all_tests)) $(ARGS)

test-quick: _dev
	@$(BIN)/python -m tests.quick "$(LAYER)" $(ARGS)

check: _dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports $(also_checked)

format: _dev
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

# The documentation as a site, from docs/ and the code, into site/.
docs: _dev
	@test -f mkdocs.yml || { echo "There is no mkdocs.yml here: the site was left out, the pages in docs/ stay."; exit 1; }
	@test ! -f tests/docs/reference.py || $(BIN)/python -m tests.docs.reference # where its tests were left out, so is it
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet && echo "Open site/index.html."

lock: _dev
	@$(BIN)/uv pip compile --quiet $(ARGS) pyproject.toml --group setup -o requirements.lock \
	  $$($(BIN)/python -c "$(EXTRAS_ON)")
	@$(BIN)/uv pip compile --quiet $(ARGS) pyproject.toml --all-extras --group setup --group dev -c requirements.lock -o requirements-dev.lock

clean:
	@rm -rf var build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path "./.venv/*" -prune -exec rm -rf {} +
