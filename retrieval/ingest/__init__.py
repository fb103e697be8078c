"""From files and addresses to chunks in the ledger and the index."""
