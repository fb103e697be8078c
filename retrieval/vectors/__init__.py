"""Vector indexes, a file each: caches that the ledger can fill anew."""
