"""The risk register, and the system card that says what the system may do."""
