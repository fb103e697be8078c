"""Chunkers, one file each. LangChain's text splitters can be named by their dotted path."""

from retrieval.text.splitters import adopt

__all__ = ["adopt"]
