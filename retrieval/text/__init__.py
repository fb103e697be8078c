"""Splitting documents into sections, and texts that other splitters cut."""
