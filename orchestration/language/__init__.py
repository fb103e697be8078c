"""Untrusted text, made harmless by its form; no rule here reads what it means."""
