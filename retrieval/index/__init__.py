"""The vector index: opening, catching up with the ledger, rebuilding, exact search."""
