"""Where people are told that an approval waits for them, a file each."""
