"""Checkpointers, one file each: they store runs so that these can resume."""
