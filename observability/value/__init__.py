"""The outcome contract, the business case, and the value of recorded outcomes."""
