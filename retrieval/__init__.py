"""Layer 3: documents to grounded, cited, permitted evidence."""
