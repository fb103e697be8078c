"""Risks, and the card that says what the system may do."""
