"""HTTP plumbing of every request: limits, errors, streams, the answer cache."""
