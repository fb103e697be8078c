"""What is shown to people: secrets masked, and text that cannot become markup."""
