"""What every HTTP request passes: limits, errors, streams, uploads, idempotency; and answers that are given again."""
