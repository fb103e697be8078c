"""A project of one's own, kept up to date with the template that it was made from."""
