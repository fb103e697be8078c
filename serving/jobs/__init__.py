"""Background jobs of many documents or questions."""
