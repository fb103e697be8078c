"""Example worlds that ship with Sixply."""
