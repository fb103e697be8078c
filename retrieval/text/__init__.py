"""Sections of documents, quantities in texts, and LangChain's splitters."""
