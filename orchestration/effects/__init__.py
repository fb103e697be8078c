"""What a tool call must pass, and the record of what it did."""
