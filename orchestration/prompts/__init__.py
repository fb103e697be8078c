"""Prompts: texts in Markdown files, and frames that mark documents as data."""
