"""How documents stand in the tables of a ledger: what a row holds, and who is shown it."""
