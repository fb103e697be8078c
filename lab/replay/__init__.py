"""Recorded conversations through the whole system."""
