"""What stands around the parts that score texts: their results checked, and the curve that turns signs into a probability."""
