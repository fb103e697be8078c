"""The prompts of what clients ask for."""
