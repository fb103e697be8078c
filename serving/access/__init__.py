"""Authentication and limits: keys, tokens, sessions, quotas, admission."""
