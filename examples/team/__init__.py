"""A supervisor and four specialists on the graph's steps, as an example of an agent of your own, plugged in by name."""
