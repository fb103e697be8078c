# The lab's commands. The Makefile includes this file where it is there.
LAB = $(BIN)/python -m lab.cli
also_checked = && $(BIN)/mypy -p lab && $(BIN)/lint-imports lab/imports.toml

lab:
	@$(call list_commands,lab/lab.mk)

#: The lab: what proves this template. Values in [ ] may be left out; reports take JSON=file too.
attack: _dev  ## attack a running server in every way the suite knows: does anything get through?   [ONLY=name] [REOPEN=1: open each hole again; the suite must find it]
	@$(LAB) attack $(call given,ONLY,--only) $(if $(REOPEN),--reopen) $(call given,JSON,--json)

fuzz: _dev  ## bodies of odd sizes and shapes to every route: no 500, no blocked health, bounded memory?   [BODIES=10000] [SEED=7]
	@$(LAB) fuzz $(call given,BODIES,--bodies) $(call given,SEED,--seed) $(call given,JSON,--json)

house: _dev  ## how much there is to own: lines, files by folder, longest files and functions, names
	@$(LAB) house $(call given,JSON,--json)

bench-retrieval: _base  ## search quality on a folder in BEIR layout   DATA=dir [LIMIT=200]
	@$(LAB) bench-retrieval "$(call needed,DATA,folder)" $(call given,JSON,--json) $(call given,LIMIT,--limit) $(stack)

bench-answers: _base  ## answer quality on a folder with qa.jsonl: how many are wrong, at each share that is answered   DATA=dir [FOREIGN=dir] [PLOT=file.svg] [LIMIT=200]
	@$(LAB) bench-answers "$(call needed,DATA,folder)" $(call given,FOREIGN,--foreign) $(call given,PLOT,--plot) \
	  $(call given,JSON,--json) $(call given,LIMIT,--limit) $(stack)

bench-followups: _base  ## search for follow-up questions, as asked and read with their conversation   [DATA=folder with histories]
	@$(LAB) bench-followups $(if $(DATA),"$(DATA)") $(call given,JSON,--json) $(stack)

bench-structured: _base  ## JSON objects read from texts: valid, right, by whom filled   [DATA=file or folder] [LIMIT=200]
	@$(LAB) bench-structured $(if $(DATA),"$(DATA)") $(call given,LIMIT,--limit) $(call given,JSON,--json) $(stack)

bench-verify: _base  ## does the check of answers tell what the documents support?   DATA=dir with claims.jsonl or human_judgements.jsonl [LIMIT=]
	@$(LAB) bench-verify "$(call needed,DATA,folder)" $(call given,JSON,--json) $(call given,LIMIT,--limit) $(stack)

train-verify: _base  ## train that check on claims of your own   CLAIMS=claims_train.jsonl [TO=retrieval/grounding/support.json]
	@$(LAB) train-verify "$(call needed,CLAIMS,claims.jsonl)" $(call given,TO,--to) $(stack)

bench-tau: _base  ## an airline's calls through the executor: expected ones pass, forbidden ones cite its policy   DATA=dir
	@$(LAB) bench-tau "$(call needed,DATA,folder)" $(call given,JSON,--json) $(stack)

bench-cache: _base  ## what the answer cache saves on a log of questions, and where it answers wrongly   DATA=dir [LIMIT=100]
	@$(LAB) bench-cache "$(call needed,DATA,folder)" $(call given,LIMIT,--limit) $(call given,JSON,--json) $(stack)

bench-parse: _base  ## does every file become text or a typed reason?   DATA=dir [MUTATE=1000] [SEED=7] [STRINGS=list.json]
	@$(LAB) bench-parse "$(call needed,DATA,folder)" $(call given,MUTATE,--mutate) $(call given,SEED,--seed) \
	  $(call given,STRINGS,--strings) $(call given,JSON,--json) $(stack)

bench-pii: _base  ## how much personal data the redaction finds, by kind   DATA=dir
	@$(LAB) bench-pii "$(call needed,DATA,folder)" $(call given,JSON,--json)

bench-ingest: _base  ## speed and memory of taking in documents, against the encoder alone   [DATA=dir] [LIMIT=450] [CHUNKS=100000] [AGAINST=sentence_transformers]
	@$(LAB) bench-ingest $(call given,DATA,--data) $(call given,LIMIT,--limit) $(call given,CHUNKS,--chunks) \
	  $(call given,AGAINST,--against) $(call given,JSON,--json) $(stack)

bench-index: _base  ## the vector index against exact search among near-duplicates   [CHUNKS=50000]
	@$(LAB) bench-index $(call given,CHUNKS,--chunks) $(call given,JSON,--json) $(stack)

bench-encoder: _base  ## the default encoder and search against torch and exact search   DATA="dir dir" [LIMIT=128] [ROUNDS=5] [THREADS=1]
	@$(LAB) bench-encoder $(call needed,DATA,folder) $(call given,LIMIT,--limit) $(call given,ROUNDS,--rounds) \
	  $(call given,THREADS,--threads) $(call given,JSON,--json) $(stack)

bench-telemetry: _base  ## what telemetry costs: searches and answers with and without, in turns   [ROUNDS=20]
	@$(LAB) bench-telemetry $(call given,ROUNDS,--rounds) $(call given,JSON,--json) $(stack)

simulate-value: _base  ## is the value report's interval right? on months whose truth is known   [MONTHS=200]
	@$(LAB) simulate-value $(call given,MONTHS,--months) $(call given,JSON,--json) $(stack)

redteam: _base  ## AgentDojo's attacks on what a tool call must pass, without a model; or on the whole agent   [THROUGH=agent] [LIMIT=60]
	@$(LAB) redteam --version v1 $(if $(THROUGH),--through $(THROUGH) $(stack),--version v1.2.2) $(call given,JSON,--json) $(call given,LIMIT,--limit)

bench-attacks: _base  ## instructions hidden in documents, against the running agent   DATA=dir with cases.jsonl [LIMIT=100] [ROWS=kept.jsonl]
	@$(LAB) bench-attacks "$(call needed,DATA,folder)" $(call given,LIMIT,--limit) $(call given,ROWS,--rows) $(call given,JSON,--json) $(stack)

leaks: _base  ## random reads, writes and deletes of several tenants: does anything cross?   [OPS=100000] [SEED=7]
	@$(LAB) leaks $(call given,OPS,--operations) $(call given,SEED,--seed) $(call given,JSON,--json) $(stack)

load: _base  ## latency under rising load, overload, clients that leave, stops   [SECONDS=60] [RATE=] [ABORTS=1000] [TERMS=100] [PLOTS=dir] [FROM=json]
	@$(LAB) load $(call given,FROM,--from) $(call given,SECONDS,--seconds) $(call given,RATE,--rate) $(call given,ABORTS,--aborts) \
	  $(call given,TERMS,--terms) $(call given,PLOTS,--plots) $(call given,JSON,--json) $(stack)

torture: _base  ## kill the ingest, damage the index, fill the disk: is all still found?   [KILLS=200] [MUTATIONS=50] [SEED=7]
	@$(LAB) torture $(call given,KILLS,--kills) $(call given,MUTATIONS,--mutations) $(call given,SEED,--seed) \
	  $(call given,JSON,--json) $(stack)

scale: _base  ## ingest on a local Ray cluster, a node killed on the way: the same as in one process?   [DOCUMENTS=20000] [NODES=2]
	@$(LAB) scale $(call given,DOCUMENTS,--documents) $(call given,NODES,--nodes) $(call given,JSON,--json) $(stack)

scale-model: _base  ## memory, hours, money and servers from 10,000 to a billion passages, from what one takes here   [PLOT=file.svg]
	@$(LAB) scale-model $(call given,PLOT,--plot) $(call given,JSON,--json) $(stack)

finetune: _base  ## train a model on your judged queries or conversations, and say whether it serves better on those held out   PART=reranker|embedder|chat DATA=folder or file [TO=folder] [LIMIT=] [EPOCHS=] [SEED=]
	@$(LAB) finetune "$(call needed,PART,reranker)" "$(call needed,DATA,folder)" $(call given,TO,--to) $(call given,LIMIT,--limit) \
	  $(call given,EPOCHS,--epochs) $(call given,SEED,--seed) $(call given,JSON,--json) $(stack)

release-check: _dev  ## wheel, sdist, bill of materials, licences, locks, known holes: may this be released?   [OUT=dist]
	@$(LAB) release-check $(call given,OUT,--out) $(call given,JSON,--json)

pictures: _base  ## how the agents join their steps, drawn from the code into docs/agents.md
	@$(LAB) pictures

screenshots: _dev  ## the views of the page as pictures, in headless Chromium, into docs/pictures   [TO=folder]
	@$(LAB) screenshots $(call given,TO,--to) $(stack)
