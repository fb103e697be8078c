"""Checks of the parts that score texts, and a logistic curve from signs to a probability."""
