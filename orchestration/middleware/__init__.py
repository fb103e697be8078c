"""Middleware for LangChain's `create_agent`, one concern per file. Each also works in your own agent, inside `with running(run):`."""
