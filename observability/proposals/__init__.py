"""Proposals of golden cases, from documents and from feedback, for review by a person."""
