"""Writing an answer, or an object, from evidence."""
