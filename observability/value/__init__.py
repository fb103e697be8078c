"""What is it worth? The outcome contract and what came of it."""
