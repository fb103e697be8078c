"""Judges of whether a text supports a sentence, a file each."""
