"""Spans, metrics and logs; content only on request."""
