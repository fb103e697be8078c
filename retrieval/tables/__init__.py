"""Documents in the tables of a ledger: rows, and the conditions of who sees them."""
