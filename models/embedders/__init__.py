"""Embedders, one file each. Any LangChain `Embeddings` can be named by its dotted path."""
