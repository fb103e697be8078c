"""A project of one's own: made from this tree, and kept up to date with it."""
