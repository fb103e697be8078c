"""Benchmarks on public data and against peers."""
