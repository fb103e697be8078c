"""Keeping the vector index true to the ledger."""
