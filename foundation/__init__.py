"""Layer 1: settings, loading of parts, errors, stores, text, reproducibility. Imports no other layer."""
