"""Stores of spans, costs and outcomes."""
