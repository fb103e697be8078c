"""Words and sentences in every script."""
