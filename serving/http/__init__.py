"""What every request passes: limits, errors, streams, idempotency."""
