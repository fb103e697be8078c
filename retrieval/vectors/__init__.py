"""Vector indexes, one file each: caches that are filled from the ledger."""
