"""One request under way: its state, budget, and stream."""
