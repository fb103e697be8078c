"""The risk register, and the system card."""
