"""Rerankers, a file each."""
