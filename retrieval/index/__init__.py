"""Keeping the vector index in step with the ledger: opening, catching up, rebuilding, exact search."""
