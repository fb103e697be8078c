"""Search for passages by keywords and vectors."""
