"""Commands that evaluate the system and its value."""
