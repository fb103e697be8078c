"""Layer 2: language models, embeddings, small specialised models, and what they cost."""
