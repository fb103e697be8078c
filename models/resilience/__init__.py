"""Resilience of chat models: retries, fallbacks, a circuit breaker, and translation of vendors' errors."""
