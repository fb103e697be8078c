"""Tools of MCP servers and of HTTP APIs with an OpenAPI document, each declared by the operator and called under approval."""

from foundation.extensions import Extension

extension = Extension(
    about="Tools of MCP servers and of HTTP APIs with an OpenAPI document, called through the executor like all others.",
    stores="extensions.outside_tools.tokens:STORES",
    plug="extensions.outside_tools.plug:plug",
    parts=(
        ("orchestration.tools/mcp", "extensions.outside_tools.mcp"),
        ("orchestration.tools/openapi", "extensions.outside_tools.openapi"),
    ),
)
