"""This machine: installation, manifest of a run, deadlines, memory and garbage collection."""
