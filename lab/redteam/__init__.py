"""Published attacks replayed against the executor and the agent."""
