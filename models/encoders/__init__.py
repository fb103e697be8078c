"""Encoders: the one of the default embedder, torch classifiers, and a cache of vectors."""
