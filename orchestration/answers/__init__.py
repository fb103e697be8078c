"""Writing an answer from evidence."""
