"""Parsers, one file per format, chosen by the suffix of a document's name."""
