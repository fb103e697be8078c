"""Middleware for LangChain's `create_agent`, a concern a file. Each works in an agent of your own, inside `with running(run):`."""
