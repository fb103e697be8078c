"""Chunkers, one file each. LangChain's text splitters can be named by their dotted path."""

from foundation.components import load_if_there

if splitters := load_if_there("retrieval.text.splitters"):
    adopt = splitters.adopt
