"""HTTP plumbing of every request: limits, errors, streams, idempotency, the answer cache."""
