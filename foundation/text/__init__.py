"""Words, terms and sentences of texts in every script, without a model."""
