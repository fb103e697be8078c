# The lab's commands stand in lab/cli.py. The Makefile includes this file where it is there.
programs += lab.cli
rules += lab
more_text = , `make lab` those that prove this template, and `make new`
also_checked = && $(BIN)/mypy -p lab && $(BIN)/lint-imports lab/imports.toml

lab: _base
	@$(BIN)/python -m lab.cli --help

assistant-trial attack fuzz house mutate new release-check screenshots: _dev
