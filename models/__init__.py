"""Layer 2: language models, embeddings, small specialised models, and their prices."""
