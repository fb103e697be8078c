"""How figures look: numbers and units as text, in tables."""
