"""Document ledgers, one file each: the source of truth for documents."""
