"""Commands of those who answer for the system."""
