"""The steps of an agent and the order in which they run."""
