"""Stores of spans and costs."""
