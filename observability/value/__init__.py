"""The outcome contract, the business case, and what recorded outcomes were worth."""
