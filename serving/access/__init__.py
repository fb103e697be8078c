"""Who may call and how much: keys, tokens, sessions, quotas, admission."""
