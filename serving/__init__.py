"""Layer 5: the API, the command line, and the one place where the parts are wired together."""
