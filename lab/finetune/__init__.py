"""Training a part on data of one's own, and saying whether it is better."""
