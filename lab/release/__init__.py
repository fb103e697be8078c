"""Checks before a release, and the pictures of the documentation."""
