"""Sections of documents, quantities and encodings of texts, splitters of LangChain."""
