"""Reading a person's words: intent, days, arguments, and text that tries to give orders."""
