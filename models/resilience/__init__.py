"""Resilience of chat models: time limits, retries, fallbacks, and translation of vendors' errors."""
