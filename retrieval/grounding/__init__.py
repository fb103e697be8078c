"""Judging whether the evidence is enough to answer, and whether a sentence is supported by what it cites."""
