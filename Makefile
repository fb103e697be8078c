# Every target is one call of `python -m serving.cli`, which answers --help. Values are given as NAME=value.

FITTING = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))
PYTHON ?= $(or $(wildcard .venv/bin/python),$(shell for p in python3 python3.13 python3.12 python3.14 python3.11; do \
  $$p -c "$(FITTING)" 2>/dev/null && echo $$p && break; done),python3)
TORCH ?= cpu
BIN := .venv/bin
# The chosen values travel through the environment: text in Q may hold quotes, dollars and semicolons.
export Q OPTIONS
CLI = $(BIN)/python -m serving.cli
given = $(if $($(1)),$(2) "$($(1))")
needed = $(or $($(1)),$(error $(1) is missing. Say: make $@ $(1)=$(2)))
stack = $(call given,STACK,--stack)

rule_files := $(firstword $(MAKEFILE_LIST)) $(wildcard lab/lab.mk)
# A value that a command does not take would be left out without a word. What it takes stands in its rule.
given_names := $(filter-out SIXPLY_% PYTHON TORCH BIN,$(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),$(name))))
ifneq ($(given_names),)
goals := $(or $(MAKECMDGOALS),help)
taken := $(shell awk -v goals=" $(goals) " '/^[a-z_-]+:/ { on = index(goals, " " substr($$1, 1, length($$1) - 1) " ") } on' \
  $(rule_files) | sed 's/\$$(stack)/STACK/' | grep -oE '[A-Z][A-Z_]+|\b[AB]\b|\bQ\b')
unknown := $(filter-out $(taken),$(given_names))
$(if $(unknown),$(error make $(goals) takes no value named $(unknown). `make` lists those of each command; what is for another \
  program goes before it: $(firstword $(unknown))=... make $(goals)))
endif

define list_commands
awk 'BEGIN { FS = ":.*## " } \
  /^#: / { printf "\n%s\n", substr($$0, 4) } \
  /^[a-z][a-z-]*:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(1)
endef

.DEFAULT_GOAL := help
.PHONY: $(shell sed -n 's/^\([a-z_][a-z-]*\):.*/\1/p' $(rule_files))

#: make COMMAND NAME=value ...   Values in [ ] may be left out. Most commands take STACK=file, instead of stack.toml; reports take JSON=file too.
help:
	@$(call list_commands,$(firstword $(MAKEFILE_LIST)))

_base:
	@$(PYTHON) -m foundation.machine.install --quiet --torch "$(TORCH)"

_dev:
	@$(PYTHON) -m foundation.machine.install --quiet --torch "$(TORCH)" --dev

#: Start here
demo: _base  ## the whole system at work on example documents, with what it saw and checked; about a minute
	@$(CLI) demo $(stack)

ask: _base  ## an answer with its sources   Q="..." [TENANT=name] [ROLE=agent] [PLAN=1] [THREAD=conversation] [AS_OF=2025-03-31] [SCHEMA=object.json] [TEXT=file]
	@$(CLI) ask $(if $(call needed,Q,"a question"),"$$Q") $(call given,TENANT,--tenant) $(call given,ROLE,--role) \
	  $(if $(PLAN),--plan) $(call given,THREAD,--thread) $(call given,AS_OF,--as-of) $(call given,SCHEMA,--schema) $(call given,TEXT,--text) $(stack)

trace: _base  ## what happened for an answer: each step, its time, its money, who approved what   ID=last, or a trace's first digits
	@$(CLI) trace "$(call needed,ID,last)" $(call given,JSON,--json) $(stack)

ingest: _base  ## take in your documents: files, folders or a web address   SRC=path [TENANT=name] [CLASS=confidential] [PRUNE=1: take out what left the folder], or RETRY=1
	@$(CLI) ingest $(if $(RETRY),--retry,"$(call needed,SRC,path)") $(if $(PRUNE),--prune) $(call given,TENANT,--tenant) $(call given,CLASS,--class) $(call given,JSON,--json) $(stack)

serve: _base  ## the API, and a page to open in the browser; on this machine only until told otherwise
	@$(CLI) serve $(stack)

doctor: _base  ## is anything wrong with this machine or configuration, and what to do about it
	@$(CLI) doctor $(stack)

#: Documents
documents: _base  ## which documents are stored   [TENANT=name] [GROUP=name]
	@$(CLI) documents $(call given,TENANT,--tenant) $(call given,GROUP,--group) $(stack)

sources: _base  ## which folders and addresses they come from   [TENANT=name]
	@$(CLI) sources $(call given,TENANT,--tenant) $(call given,JSON,--json) $(stack)

corpus: _base  ## how many there are, which are old or superseded, which say the same   [DAYS=365] [SIMILARITY=0.8] [TENANT=]
	@$(CLI) corpus $(call given,DAYS,--days) $(call given,SIMILARITY,--similarity) $(call given,TENANT,--tenant) \
	  $(call given,JSON,--json) $(stack)

reindex: _base  ## after a change of embedder or chunker: build a new index beside the old one, then swap; can be resumed
	@$(CLI) reindex $(stack)

export: _base  ## all documents and vectors as one file   TO=ledger.jsonl.gz
	@$(CLI) export "$(call needed,TO,ledger.jsonl.gz)" $(call given,JSON,--json) $(stack)

import: _base  ## take in what was exported; nothing is embedded again   FROM=ledger.jsonl.gz
	@$(CLI) import "$(call needed,FROM,ledger.jsonl.gz)" $(call given,JSON,--json) $(stack)

#: Who may do what
keys: _base  ## API keys: who may ask, for which tenant, in which roles; .venv/bin/sixply keys add makes one
	@$(CLI) keys $(stack)

policy: _base  ## what which role may do; with values, one case and the rule that decides it   [ROLE=reader] [TENANT=north] [TOOL=refund] [MODEL=] [CLASS=internal]
	@$(CLI) policy $(call given,ROLE,--role) $(call given,TENANT,--tenant) $(call given,TOOL,--tool) \
	  $(call given,MODEL,--model) $(call given,CLASS,--class) $(call given,JSON,--json) $(stack)

approvals: _base  ## actions that wait for a person   [TENANT=name]
	@$(CLI) approvals $(call given,TENANT,--tenant) $(stack)

approve: _base  ## say yes to one of them that somebody else asked for: it happens; as whoever has the key in SIXPLY_KEY   ID=approval [SET="amount=120"] [TENANT=name]
	@$(CLI) approve "$(call needed,ID,approval)" $(call given,SET,--set) $(call given,TENANT,--tenant) $(stack)

reject: _base  ## say no to one of them: it never happens   ID=approval [TENANT=name]
	@$(CLI) reject "$(call needed,ID,approval)" $(call given,TENANT,--tenant) $(stack)

stop: _base  ## kill switch, at once and for every process   WHAT=effects|all|tenant:NAME|model:NAME WHY="..."
	@$(CLI) stop "$(call needed,WHAT,effects)" --why "$(call needed,WHY,"what happened")" $(stack)

lift: _base  ## take a stop back   WHAT=effects
	@$(CLI) lift "$(call needed,WHAT,effects)" $(stack)

stops: _base  ## what is stopped, by whom and why
	@$(CLI) stops $(call given,JSON,--json) $(stack)

mcp: _base  ## the system as an MCP server on standard input and output   [TENANT=name] [ROLE=agent]; or SIXPLY_API_KEY in the environment
	@$(CLI) mcp $(call given,TENANT,--tenant) $(call given,ROLE,--role) $(stack)

#: What happened, and what it cost
traces: _base  ## the latest requests, with how each ended   [ALL=1: also what only looked or was refused]
	@$(CLI) traces $(if $(ALL),--all) $(stack)

slow: _base  ## the slowest of the latest requests, and what each layer takes   [LIMIT=10] [LAST=500]
	@$(CLI) slow $(call given,LIMIT,--limit) $(call given,LAST,--last) $(call given,JSON,--json) $(stack)

failures: _base  ## how the latest requests failed, and where it began   [LAST=500]
	@$(CLI) failures $(call given,LAST,--last) $(call given,JSON,--json) $(stack)

costs: _base  ## money spent   [BY=tenant|model|layer|kind|day|outcome]
	@$(CLI) costs $(call given,BY,--by) $(call given,JSON,--json) $(stack)

forecast: _base  ## what the next 30 days will cost, from the days so far
	@$(CLI) forecast $(call given,JSON,--json) $(stack)

drift: _base  ## what has changed since last week: quality, questions, refusals, time, cost, parts   [DAYS=7]
	@$(CLI) drift $(call given,DAYS,--days) $(call given,JSON,--json) $(stack)

config: _base  ## every value in force and where it came from
	@$(CLI) config $(stack)

#: Records and personal data
audit-verify: _base  ## is the audit log whole? finds an edited, dropped or reordered record   [HEAD=count:hash]
	@$(CLI) audit-verify $(call given,HEAD,--head) $(call given,JSON,--json) $(stack)

system-card: _base  ## what runs, what it may do, how good it is, what can go wrong   [HTML=var/reports/card.html]
	@$(CLI) system-card $(call given,HTML,--html) $(call given,JSON,--json) $(stack)

facts: _base  ## what is remembered of a person; .venv/bin/sixply facts correct and erase change it   [TENANT=name] [USER_ID=subject]
	@$(CLI) facts list $(call given,TENANT,--tenant) $(call given,USER_ID,--user) $(stack)

erase: _base  ## delete everything that one person said, asked and was told   USER_ID=ada TENANT=north
	@$(CLI) erase --user "$(call needed,USER_ID,ada)" --tenant "$(call needed,TENANT,north)" $(call given,JSON,--json) $(stack)

retention: _base  ## delete what is older than [foundation.retention] allows
	@$(CLI) retention $(call given,JSON,--json) $(stack)

#: Is it good enough, and worth it?
evaluate: _base  ## ask questions with known answers (the golden set) of your documents, and score what comes   [GOLDEN=file] [LIMIT=20]
	@$(CLI) evaluate $(call given,GOLDEN,--golden) $(call given,JSON,--json) $(call given,LIMIT,--limit) $(stack)

gate: _base  ## did any score fall since the committed baseline? fails if so   [RENEW=1]
	@$(CLI) gate $(if $(RENEW),--renew) $(call given,JSON,--json) $(stack)

swap-report: _base  ## the same questions through two systems, and a verdict   [A=stack.toml] B=swap.toml [DATA=] [HTML=]
	@$(CLI) swap-report "$(or $(A),stack.toml)" "$(call needed,B,swap.toml)" $(call given,DATA,--data) \
	  $(call given,LIMIT,--limit) $(call given,REPEATS,--repeats) $(call given,JSON,--json) $(call given,HTML,--html)

calibrate: _base  ## from which confidence on to answer instead of saying no, learned from questions   [DATA=dir] [FOREIGN=dir] [LIMIT=]
	@$(CLI) calibrate $(call given,DATA,--data) $(call given,FOREIGN,--foreign) $(call given,LIMIT,--limit) \
	  $(call given,JSON,--json) $(stack)

cases-from-feedback: _base  ## what people said of answers, as new golden questions for review   [TO=var/reports/cases.jsonl], then TAKE=file [GOLDEN=]
	@$(CLI) cases-from-feedback $(call given,TO,--to) $(call given,TAKE,--take) $(call given,GOLDEN,--golden) $(stack)

judge-agreement: _base  ## does a language model mark answers as people do? evaluate trusts it then   DATA=dir [LIMIT=200]
	@$(CLI) judge-agreement "$(call needed,DATA,folder)" $(call given,LIMIT,--limit) $(call given,JSON,--json) $(stack)

business-case: _base  ## what outcomes.toml promises, before anything runs
	@$(CLI) business-case $(call given,JSON,--json) $(stack)

roi: _base  ## what the recorded outcomes were worth: ship, hold or stop
	@$(CLI) roi $(call given,JSON,--json) $(stack)

value-report: _base  ## the same as one page for finance   [HTML=var/reports/value.html]
	@$(CLI) value-report $(call given,HTML,--html) $(call given,JSON,--json) $(stack)

#: Compare
bench-team: _base  ## the team of agents against the single agent: quality, time, money   [LIMIT=60]
	@$(CLI) swap-report stack.toml examples/team.toml --repeats 1 $(call given,LIMIT,--limit) $(call given,JSON,--json) || test $$? -lt 3

#: Change it
setup:  ## install everything (the other commands do it where it is missing)   [PYTHON=python3.12] [WITH=finetune,postgres,qdrant,ray,redis] [TORCH=auto: your GPU's build]
	@$(PYTHON) -m foundation.machine.install --torch "$(TORCH)" $(call given,WITH,--with)

# All tests go to several processes, each file to one of them, so that its fixtures are built once; named tests go to one.
test: _dev  ## lint, types, layers and all tests: what CI runs   [ARGS="tests/unit -x"]
	@$(BIN)/python -m pytest $(if $(findstring tests/,$(ARGS)),,--numprocesses=auto --dist=loadfile) $(ARGS)

check: _dev  ## lint, format, types and layers alone, in seconds
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports $(also_checked)

format: _dev  ## let ruff mend what it can
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

adapter: _dev  ## write the one file of a new part, with what is to be filled in   PORT=retrieval/vectors NAME=acme
	@$(CLI) adapter "$(call needed,PORT,retrieval/vectors)" "$(call needed,NAME,acme)"

contracts: _dev  ## which promises of its port a part keeps   [PORT=retrieval/vectors] [NAME=acme|my_pkg.acme:build|all] [OPTIONS='{}']
	@$(CLI) contracts $(call given,PORT,--port) $(call given,NAME,--name) $(if $(OPTIONS),--options "$$OPTIONS") \
	  $(call given,JSON,--json) $(stack)

parts: _base  ## every port with its adapters   [MARKDOWN=docs/swap/parts.md]
	@$(CLI) parts $(call given,JSON,--json) $(call given,MARKDOWN,--markdown)

lock: _dev  ## pin the newest versions that pyproject.toml allows   [ARGS=--upgrade]
	@$(BIN)/uv pip compile --quiet $(ARGS) pyproject.toml --group setup -o requirements.lock
	@$(BIN)/uv pip compile --quiet $(ARGS) pyproject.toml --all-extras --group setup --group dev -c requirements.lock -o requirements-dev.lock

clean:  ## remove what runs have written, keep .venv and weights
	@rm -rf var build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path "./.venv/*" -prune -exec rm -rf {} +

# What proves the template; the folder can be deleted.
-include lab/lab.mk
