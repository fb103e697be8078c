"""Ports and adapters: list them, test them, write new ones."""
