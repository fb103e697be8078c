"""Making a plan of a request: by examples, or by a model."""
