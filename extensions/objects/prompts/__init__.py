"""What a chat model that writes a field is told."""
