"""Evaluation and value of a system, for the commands, the page and the demo."""
