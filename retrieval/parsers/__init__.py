"""Parsers, a file for each format, found by the suffix of a document's name."""
