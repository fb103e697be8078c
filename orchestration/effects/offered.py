"""A tool as agents are shown it: the executor alone carries it out."""

from typing import Any, Self

from langchain_core.tools import BaseTool

from foundation.errors import InvalidSetting


def describe_tool(tool: BaseTool) -> dict[str, Any]:
    """Return what is said of a tool, to build another one that is offered in its place."""
    said = {name: getattr(tool, name) for name in ("name", "description", "metadata", "return_direct", "extras")}
    # LangChain reads the arguments of a tool without a schema from its own `_run`
    return said | {"args_schema": tool.args_schema or tool.tool_call_schema}


class OfferedTool(BaseTool):
    """It refuses to be called directly, as a sub-agent of some library would that the policy does not stand around."""

    @classmethod
    def of(cls, tool: BaseTool, **more: Any) -> Self:
        return cls(**describe_tool(tool), **more)

    def _run(self, *_: Any, **__: Any) -> Any:
        raise InvalidSetting(
            f"The tool {self.name} was called past the executor, so nothing was done. Give the agent, and each sub-agent of it, "
            "`governed_tools(context.executor)` in place of `context.executor.tools` (docs/agents.md)."
        )
