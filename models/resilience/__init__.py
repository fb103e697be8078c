"""What stands around a chat model: retries, fallbacks, a breaker, and errors translated from each vendor."""
