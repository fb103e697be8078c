"""HTTP plumbing of every request: limits, errors, streams, uploads, idempotency, the answer cache."""
