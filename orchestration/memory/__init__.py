"""Conversations, follow-up questions, and remembered facts."""
