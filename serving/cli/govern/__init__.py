"""Commands for the people who answer for the system."""
