"""The system as an MCP server. The folder can be deleted with its router and its command."""
