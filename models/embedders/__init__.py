"""Embedders, a file each. Any LangChain `Embeddings` is taken by its dotted name."""
