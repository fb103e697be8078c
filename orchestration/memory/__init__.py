"""Conversations and what is remembered of a person."""
