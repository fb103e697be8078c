"""Output for people: secrets masked, and text that cannot become markup."""
