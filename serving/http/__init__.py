"""What every HTTP request passes: limits, errors, streams, uploads, idempotency."""
