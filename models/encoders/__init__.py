"""The encoder behind the default embedder, its fingerprint, and a memory of what it embedded."""
