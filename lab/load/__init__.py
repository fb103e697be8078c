"""Latency under rising load, overload, and stops."""
