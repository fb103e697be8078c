# The examples' commands stand in examples/cli.py. The Makefile includes this file where it is there.
programs += examples.cli

define start_text

  make demo           the whole system at work on example documents, with what it saw and checked; about a minute
endef
