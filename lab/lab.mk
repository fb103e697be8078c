# The lab's commands. The Makefile includes this file where it is there.
LAB = $(BIN)/python -m lab.cli

#: The lab: what proves this template
attack: _dev  ## attack a running server in every way the suite knows: does anything get through?   [ONLY=name] [REOPEN=1: open each hole again; the suite must find it]
	@$(LAB) attack $(call given,ONLY,--only) $(if $(REOPEN),--reopen) $(call given,JSON,--json)

fuzz: _dev  ## bodies of odd sizes and shapes to every route: no 500, no blocked health, bounded memory?   [BODIES=10000] [SEED=7]
	@$(LAB) fuzz $(call given,BODIES,--bodies) $(call given,SEED,--seed) $(call given,JSON,--json)

house: _dev  ## how much there is to own: lines, files by folder, longest files and functions, names
	@$(LAB) house $(call given,JSON,--json)
