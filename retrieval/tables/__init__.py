"""How documents stand in the tables of a ledger: what a row holds, who is shown it, and how older formats are converted."""
