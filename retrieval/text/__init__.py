"""Splitting text into words, sentences and sections, in every script."""
