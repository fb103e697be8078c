"""A supervisor and four specialists on the steps of the graph: how an agent of your own is built and plugged in by its name."""
