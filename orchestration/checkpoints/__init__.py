"""Checkpointers, a file each: where a run is kept so that it can go on."""
