"""Agents, a file each: they join the same steps in different ways."""
