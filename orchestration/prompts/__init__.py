"""What is put before a language model: texts in Markdown files, and the frames that keep documents data."""
