"""Commands that say how good the system is, and what it is worth."""
