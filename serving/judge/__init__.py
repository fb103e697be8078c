"""Questions with known answers asked of a system, and what its recorded outcomes were worth: for commands, page and demo."""
