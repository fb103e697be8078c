"""Document ledgers, a file each: the truth about what is stored."""
