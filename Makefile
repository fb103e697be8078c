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

# A value that a command does not take would be left out without a word. What it takes stands in its rule.
given_names := $(filter-out SIXPLY_% PYTHON TORCH BIN,$(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),$(name))))
ifneq ($(given_names),)
goals := $(or $(MAKECMDGOALS),help)
taken := $(shell awk -v goals=" $(goals) " '/^[a-z_-]+:/ { on = index(goals, " " substr($$1, 1, length($$1) - 1) " ") } on' \
  $(firstword $(MAKEFILE_LIST)) | sed 's/\$$(stack)/STACK/' | grep -oE '[A-Z][A-Z_]+|\b[AB]\b|\bQ\b')
unknown := $(filter-out $(taken),$(given_names))
$(if $(unknown),$(error make $(goals) takes no value named $(unknown). `make` lists those of each command; what is for another \
  program goes before it: $(firstword $(unknown))=... make $(goals)))
endif

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format doctor ask serve mcp ingest documents trace traces slow failures costs forecast approvals audit-verify \
        approve reject reindex config keys bench-retrieval bench-answers bench-pii evaluate business-case roi \
        value-report simulate-value contracts lock clean _base _dev
.PHONY: bench-parse sources corpus export import

.PHONY: redteam

help:  ## this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^#: / { printf "\n%s\n", substr($$0, 4) } \
	  /^[a-z][a-z-]*:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

_base:
	@$(PYTHON) -m foundation.install --quiet --torch "$(TORCH)"

_dev:
	@$(PYTHON) -m foundation.install --quiet --torch "$(TORCH)" --dev

#: Start here
setup:  ## install everything that the system needs   [PYTHON=python3.12] [WITH=postgres,qdrant,ray,redis] [TORCH=auto: your GPU's build]
	@$(PYTHON) -m foundation.install --torch "$(TORCH)" $(call given,WITH,--with)

demo: _base  ## all six layers at work on real models, about a minute
	@$(CLI) demo $(stack)

doctor: _base  ## check this machine and this configuration; say what to do
	@$(CLI) doctor $(stack)

#: Use it
ask: _base  ## one question   Q="..." [TENANT=name] [ROLE=agent] [PLAN=1] [THREAD=conversation] [AS_OF=2025-03-31] [SCHEMA=object.json] [TEXT=file] [STACK=]
	@$(CLI) ask $(if $(call needed,Q,"a question"),"$$Q") $(call given,TENANT,--tenant) $(call given,ROLE,--role) \
	  $(if $(PLAN),--plan) $(call given,THREAD,--thread) $(call given,AS_OF,--as-of) $(call given,SCHEMA,--schema) $(call given,TEXT,--text) $(stack)

serve: _base  ## the API, on loopback until told otherwise   [STACK=stack.toml]
	@$(CLI) serve $(stack)

mcp: _base  ## an MCP server on standard input and output   [TENANT=name] [ROLE=agent]; or SIXPLY_API_KEY in the environment
	@$(CLI) mcp $(call given,TENANT,--tenant) $(call given,ROLE,--role) $(stack)

ingest: _base  ## add files, folders or an address   SRC=path [TENANT=name] [CLASS=confidential] [PRUNE=1: take out what left the folder], or RETRY=1
	@$(CLI) ingest $(if $(RETRY),--retry,"$(call needed,SRC,path)") $(if $(PRUNE),--prune) $(call given,TENANT,--tenant) $(call given,CLASS,--class) $(call given,JSON,--json) $(stack)

sources: _base  ## where the documents come from   [TENANT=name] [JSON=out.json]
	@$(CLI) sources $(call given,TENANT,--tenant) $(call given,JSON,--json) $(stack)

corpus: _base  ## its size, what is old or superseded, what says the same   [DAYS=365] [SIMILARITY=0.8] [TENANT=] [JSON=]
	@$(CLI) corpus $(call given,DAYS,--days) $(call given,SIMILARITY,--similarity) $(call given,TENANT,--tenant) \
	  $(call given,JSON,--json) $(stack)

export: _base  ## the whole ledger as one file, vectors included   TO=ledger.jsonl.gz
	@$(CLI) export "$(call needed,TO,ledger.jsonl.gz)" $(call given,JSON,--json) $(stack)

import: _base  ## take in what was exported; nothing is embedded again   FROM=ledger.jsonl.gz
	@$(CLI) import "$(call needed,FROM,ledger.jsonl.gz)" $(call given,JSON,--json) $(stack)

documents: _base  ## what the ledger holds   [TENANT=name]
	@$(CLI) documents $(call given,TENANT,--tenant) $(stack)

keys: _base  ## API keys: who may ask, for which tenant, in which roles
	@$(CLI) keys $(stack)

.PHONY: facts
facts: _base  ## what is remembered of a person   [TENANT=name] [USER_ID=subject]; .venv/bin/sixply facts correct, erase
	@$(CLI) facts list $(call given,TENANT,--tenant) $(call given,USER_ID,--user) $(stack)

approvals: _base  ## actions that wait for a person   [TENANT=name]
	@$(CLI) approvals $(call given,TENANT,--tenant) $(stack)

approve: _base  ## let one of them happen   ID=approval [SET="amount=120"] [TENANT=name]
	@$(CLI) approve "$(call needed,ID,approval)" $(call given,SET,--set) $(call given,TENANT,--tenant) $(stack)

reject: _base  ## forbid one of them   ID=approval [TENANT=name]
	@$(CLI) reject "$(call needed,ID,approval)" $(call given,TENANT,--tenant) $(stack)

reindex: _base  ## after another embedder or chunker: build beside the old index, then swap; can be stopped and resumed
	@$(CLI) reindex $(stack)

#: Look inside
config: _base  ## every value in force and where it came from   [STACK=stack.toml]
	@$(CLI) config $(stack)

traces: _base  ## the latest answers
	@$(CLI) traces $(stack)

trace: _base  ## one answer's spans, its bill by layer, its audit   ID=last, or a trace's first digits   [JSON=out.json]
	@$(CLI) trace "$(call needed,ID,last)" $(call given,JSON,--json) $(stack)

slow: _base  ## the slowest of the latest requests, and what each layer takes   [LIMIT=10] [LAST=500] [JSON=out.json]
	@$(CLI) slow $(call given,LIMIT,--limit) $(call given,LAST,--last) $(call given,JSON,--json) $(stack)

failures: _base  ## how the latest requests failed, and where it began   [LAST=500] [JSON=out.json]
	@$(CLI) failures $(call given,LAST,--last) $(call given,JSON,--json) $(stack)

costs: _base  ## money spent   [BY=tenant|model|layer|kind|day|outcome] [JSON=out.json]
	@$(CLI) costs $(call given,BY,--by) $(call given,JSON,--json) $(stack)

.PHONY: drift
drift: _base  ## what has changed since last week: quality, questions, refusals, time, cost, parts   [DAYS=7] [JSON=out.json]
	@$(CLI) drift $(call given,DAYS,--days) $(call given,JSON,--json) $(stack)

forecast: _base  ## what the next 30 days will cost, from the days so far   [JSON=out.json]
	@$(CLI) forecast $(call given,JSON,--json) $(stack)

audit-verify: _base  ## is the audit whole? finds an edited, dropped or reordered record   [HEAD=count:hash] [JSON=out.json]
	@$(CLI) audit-verify $(call given,HEAD,--head) $(call given,JSON,--json) $(stack)

.PHONY: policy
policy: _base  ## what is allowed; one case with its rule   [ROLE=reader] [TENANT=north] [TOOL=refund] [MODEL=] [CLASS=internal] [JSON=]
	@$(CLI) policy $(call given,ROLE,--role) $(call given,TENANT,--tenant) $(call given,TOOL,--tool) \
	  $(call given,MODEL,--model) $(call given,CLASS,--class) $(call given,JSON,--json) $(stack)

.PHONY: system-card
system-card: _base  ## what runs, what it may do, how good it is, what can go wrong   [HTML=var/reports/card.html] [JSON=out.json]
	@$(CLI) system-card $(call given,HTML,--html) $(call given,JSON,--json) $(stack)

.PHONY: stop lift stops
stop: _base  ## kill switch, at once and for every process   WHAT=effects|all|tenant:NAME|model:NAME WHY="..."
	@$(CLI) stop "$(call needed,WHAT,effects)" --why "$(call needed,WHY,"what happened")" $(stack)

lift: _base  ## let it work again   WHAT=effects
	@$(CLI) lift "$(call needed,WHAT,effects)" $(stack)

stops: _base  ## what is stopped, by whom and why   [JSON=out.json]
	@$(CLI) stops $(call given,JSON,--json) $(stack)

.PHONY: erase retention
erase: _base  ## everything that one person said, asked and was told   USER_ID=ada TENANT=north [JSON=out.json]
	@$(CLI) erase --user "$(call needed,USER_ID,ada)" --tenant "$(call needed,TENANT,north)" $(call given,JSON,--json) $(stack)

retention: _base  ## take out what is older than [foundation.retention] allows   [JSON=out.json]
	@$(CLI) retention $(call given,JSON,--json) $(stack)

#: Measure
evaluate: _base  ## score the golden set   [GOLDEN=file] [JSON=out.json] [LIMIT=20] [STACK=stack.toml]
	@$(CLI) evaluate $(call given,GOLDEN,--golden) $(call given,JSON,--json) $(call given,LIMIT,--limit) $(stack)

.PHONY: judge-agreement
judge-agreement: _base  ## does a language model mark answers as people do? evaluate trusts it then   DATA=dir [LIMIT=200] [JSON=] [STACK=]
	@$(CLI) judge-agreement "$(call needed,DATA,folder)" $(call given,LIMIT,--limit) $(call given,JSON,--json) $(stack)

bench-retrieval: _base  ## retrieval on a folder in BEIR layout   DATA=dir JSON=out.json [STACK=] [LIMIT=200]
	@$(CLI) bench-retrieval "$(call needed,DATA,folder)" $(call given,JSON,--json) $(call given,LIMIT,--limit) $(stack)

.PHONY: bench-ingest
bench-ingest: _base  ## ingest against its own encoder, a second run, a change, memory   [DATA=dir] [LIMIT=450] [CHUNKS=100000] [AGAINST=sentence_transformers] [JSON=]
	@$(CLI) bench-ingest $(call given,DATA,--data) $(call given,LIMIT,--limit) $(call given,CHUNKS,--chunks) \
	  $(call given,AGAINST,--against) $(call given,JSON,--json) $(stack)

.PHONY: bench-index
bench-index: _base  ## the vector index against exact search among near-duplicates   [CHUNKS=50000] [JSON=out.json] [STACK=]
	@$(CLI) bench-index $(call given,CHUNKS,--chunks) $(call given,JSON,--json) $(stack)

.PHONY: bench-encoder
bench-encoder: _base  ## the default encoder and search against torch and exact search, in one run   DATA="dir dir" [LIMIT=128] [ROUNDS=5] [THREADS=1] [JSON=]
	@$(CLI) bench-encoder $(call needed,DATA,folder) $(call given,LIMIT,--limit) $(call given,ROUNDS,--rounds) \
	  $(call given,THREADS,--threads) $(call given,JSON,--json) $(stack)

bench-answers: _base  ## answers on a folder with qa.jsonl, risk against coverage   DATA=dir JSON=out.json [FOREIGN=dir] [PLOT=file.svg] [STACK=] [LIMIT=200]
	@$(CLI) bench-answers "$(call needed,DATA,folder)" $(call given,FOREIGN,--foreign) $(call given,PLOT,--plot) \
	  $(call given,JSON,--json) $(call given,LIMIT,--limit) $(stack)

.PHONY: calibrate
calibrate: _base  ## from which confidence on to answer, from questions that may be tuned on   [DATA=dir] [FOREIGN=dir] [LIMIT=] [JSON=] [STACK=]
	@$(CLI) calibrate $(call given,DATA,--data) $(call given,FOREIGN,--foreign) $(call given,LIMIT,--limit) \
	  $(call given,JSON,--json) $(stack)

.PHONY: bench-attacks
bench-attacks: _base  ## instructions hidden in documents against the running agent   DATA=dir with cases.jsonl [LIMIT=100] [ROWS=kept.jsonl] [JSON=]
	@$(CLI) bench-attacks "$(call needed,DATA,folder)" $(call given,LIMIT,--limit) $(call given,ROWS,--rows) $(call given,JSON,--json) $(stack)

.PHONY: bench-followups
bench-followups: _base  ## follow-up questions, as asked and read with their conversation   [DATA=folder with histories] [JSON=]
	@$(CLI) bench-followups $(if $(DATA),"$(DATA)") $(call given,JSON,--json) $(stack)

.PHONY: bench-structured
bench-structured: _base  ## objects from texts: valid, right, by whom filled   [DATA=file or folder] [LIMIT=200] [JSON=]
	@$(CLI) bench-structured $(if $(DATA),"$(DATA)") $(call given,LIMIT,--limit) $(call given,JSON,--json) $(stack)

.PHONY: bench-tau
bench-tau: _base  ## an airline's calls through the executor: expected ones pass, forbidden ones cite its policy   DATA=dir [JSON=] [STACK=]
	@$(CLI) bench-tau "$(call needed,DATA,folder)" $(call given,JSON,--json) $(stack)

.PHONY: bench-verify
bench-verify: _base  ## does verify tell what is supported?   DATA=dir with claims.jsonl or human_judgements.jsonl [JSON=] [LIMIT=]
	@$(CLI) bench-verify "$(call needed,DATA,folder)" $(call given,JSON,--json) $(call given,LIMIT,--limit) $(stack)

.PHONY: train-verify
train-verify: _base  ## train the judge of verify on claims of yours   CLAIMS=claims_train.jsonl [TO=retrieval/support.json]
	@$(CLI) train-verify "$(call needed,CLAIMS,claims.jsonl)" $(call given,TO,--to) $(stack)

.PHONY: bench-cache
bench-cache: _base  ## the answer cache on a log with repeats and paraphrases: gain, false hits   DATA=dir [JSON=] [LIMIT=100]
	@$(CLI) bench-cache "$(call needed,DATA,folder)" $(call given,LIMIT,--limit) $(call given,JSON,--json) $(stack)

.PHONY: bench-telemetry
bench-telemetry: _base  ## searches and answers with and without telemetry, in turns   [ROUNDS=20] [JSON=out.json]
	@$(CLI) bench-telemetry $(call given,ROUNDS,--rounds) $(call given,JSON,--json) $(stack)

bench-parse: _base  ## every file to text or a typed reason   DATA=dir JSON=out.json [MUTATE=1000] [SEED=7] [STRINGS=list.json]
	@$(CLI) bench-parse "$(call needed,DATA,folder)" $(call given,MUTATE,--mutate) $(call given,SEED,--seed) \
	  $(call given,STRINGS,--strings) $(call given,JSON,--json) $(stack)

bench-pii: _base  ## personal data that the redaction finds, by kind   DATA=dir [JSON=out.json]
	@$(CLI) bench-pii "$(call needed,DATA,folder)" $(call given,JSON,--json)

swap-report: _base  ## the same questions through two systems, and a verdict   [A=stack.toml] B=swap.toml [DATA=] [JSON=] [HTML=]
	@$(CLI) swap-report "$(or $(A),stack.toml)" "$(call needed,B,swap.toml)" $(call given,DATA,--data) \
	  $(call given,LIMIT,--limit) $(call given,REPEATS,--repeats) $(call given,JSON,--json) $(call given,HTML,--html)

.PHONY: cases-from-feedback
cases-from-feedback: _base  ## judged answers as golden cases, for review   [TO=var/reports/cases.jsonl], then TAKE=file [GOLDEN=]
	@$(CLI) cases-from-feedback $(call given,TO,--to) $(call given,TAKE,--take) $(call given,GOLDEN,--golden) $(stack)

.PHONY: gate
gate: _base  ## the golden set against the committed baseline; blocks what got worse   [RENEW=1] [JSON=out.json] [STACK=]
	@$(CLI) gate $(if $(RENEW),--renew) $(call given,JSON,--json) $(stack)

.PHONY: bench-team
bench-team: _base  ## the team against the single agent on the golden set: quality, time, money   [JSON=out.json] [LIMIT=60]
	@$(CLI) swap-report stack.toml examples/team.toml --repeats 1 $(call given,LIMIT,--limit) $(call given,JSON,--json) || test $$? -lt 3

redteam: _base  ## AgentDojo's attacks on the executor without a model, or THROUGH=agent [STACK=]   [JSON=out.json] [LIMIT=60]
	@$(CLI) redteam --version v1 $(if $(THROUGH),--through $(THROUGH) $(stack),--version v1.2.2) $(call given,JSON,--json) $(call given,LIMIT,--limit)

.PHONY: load
load: _base  ## latency against offered load, overload, aborts, stops   [SECONDS=60] [RATE=] [ABORTS=1000] [TERMS=100] [PLOTS=dir] [FROM=json] [JSON=]
	@$(CLI) load $(call given,FROM,--from) $(call given,SECONDS,--seconds) $(call given,RATE,--rate) $(call given,ABORTS,--aborts) \
	  $(call given,TERMS,--terms) $(call given,PLOTS,--plots) $(call given,JSON,--json) $(stack)

.PHONY: scale
scale: _base  ## ingest on a local Ray cluster, a node killed on the way: the same as in one process?   [DOCUMENTS=20000] [NODES=2] [STACK=] [JSON=]
	@$(CLI) scale $(call given,DOCUMENTS,--documents) $(call given,NODES,--nodes) $(call given,JSON,--json) $(stack)

.PHONY: scale-model
scale-model: _base  ## memory, hours, money and servers from 10,000 to a billion passages, from what one takes here   [PLOT=file.svg] [JSON=]
	@$(CLI) scale-model $(call given,PLOT,--plot) $(call given,JSON,--json) $(stack)

.PHONY: leaks
leaks: _base  ## random reads, writes and deletes of several tenants: does anything cross?   [OPS=100000] [SEED=7] [STACK=] [JSON=]
	@$(CLI) leaks $(call given,OPS,--operations) $(call given,SEED,--seed) $(call given,JSON,--json) $(stack)

.PHONY: torture
torture: _base  ## kill the ingest, damage the index, fill the disk: is all still found?   [KILLS=200] [MUTATIONS=50] [SEED=7] [STACK=] [JSON=]
	@$(CLI) torture $(call given,KILLS,--kills) $(call given,MUTATIONS,--mutations) $(call given,SEED,--seed) \
	  $(call given,JSON,--json) $(stack)

business-case: _base  ## what outcomes.toml promises, before anything runs   [JSON=out.json]
	@$(CLI) business-case $(call given,JSON,--json) $(stack)

roi: _base  ## what the recorded outcomes were worth: ship, hold or stop   [JSON=out.json]
	@$(CLI) roi $(call given,JSON,--json) $(stack)

value-report: _base  ## the same as one page for finance   [HTML=var/reports/value.html] [JSON=out.json]
	@$(CLI) value-report $(call given,HTML,--html) $(call given,JSON,--json) $(stack)

simulate-value: _base  ## is the value report's interval right? on months whose truth is known   [MONTHS=200] [JSON=out.json]
	@$(CLI) simulate-value $(call given,MONTHS,--months) $(call given,JSON,--json) $(stack)

#: Change it
test: _dev  ## guards and tests: what CI runs   [ARGS="tests/unit -x"]
	@$(BIN)/python -m pytest $(ARGS)

check: _dev  ## the guards alone, in seconds: lint, format, types, layers
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

format: _dev  ## let ruff mend what it can
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

.PHONY: adapter swap-report adapters
adapter: _dev  ## the one file of a new part, with what is to be written in it   PORT=retrieval/vectors NAME=acme
	@$(CLI) adapter "$(call needed,PORT,retrieval/vectors)" "$(call needed,NAME,acme)"

.PHONY: parts
parts: _base  ## every port with its adapters   [JSON=out.json] [MARKDOWN=docs/swap/parts.md]
	@$(CLI) parts $(call given,JSON,--json) $(call given,MARKDOWN,--markdown)

.PHONY: screenshots
screenshots: _dev  ## the views of the page as pictures, in headless Chromium, into docs/pictures   [TO=folder] [STACK=stack.toml]
	@$(CLI) screenshots $(call given,TO,--to) $(stack)

.PHONY: pictures
pictures: _base  ## how the agents join their steps, drawn from the code into docs/agents.md
	@$(CLI) pictures

contracts: _dev  ## which promises a part keeps   [PORT=retrieval/vectors] [NAME=acme|my_pkg.acme:build|all] [OPTIONS='{}']
	@$(CLI) contracts $(call given,PORT,--port) $(call given,NAME,--name) $(if $(OPTIONS),--options "$$OPTIONS") \
	  $(call given,JSON,--json) $(stack)

.PHONY: release-check
release-check: _dev  ## wheel, sdist, bill of materials, licences, locks, known holes: may this be released?   [OUT=dist] [JSON=out.json]
	@$(CLI) release-check $(call given,OUT,--out) $(call given,JSON,--json)

lock: _dev  ## pin the newest versions that pyproject.toml allows   [ARGS=--upgrade]
	@$(BIN)/uv pip compile --quiet $(ARGS) pyproject.toml --group setup -o requirements.lock
	@$(BIN)/uv pip compile --quiet $(ARGS) pyproject.toml --all-extras --group setup --group dev -c requirements.lock -o requirements-dev.lock

clean:  ## remove what runs have written, keep .venv and weights
	@rm -rf var build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path "./.venv/*" -prune -exec rm -rf {} +
