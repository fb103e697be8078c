"""This system as an MCP server, over HTTP and on standard input and output."""

from foundation.extensions import Command, Extension

extension = Extension(
    about="This system as an MCP server, over HTTP and on standard input and output.",
    commands=(
        Command(
            name="mcp",
            group="Who may do what",
            about="Run as an MCP server on standard input and output.",
            call="extensions.mcp_server.command:mcp",
        ),
    ),
    plug="extensions.mcp_server.plug:plug",
)
