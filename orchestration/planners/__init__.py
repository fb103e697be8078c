"""Deciding what a question asks for: by examples, or by a model."""
