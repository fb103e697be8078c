"""Ingest: documents from files and web addresses to chunks in the ledger and the index."""
