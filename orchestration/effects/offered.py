"""A tool as agents are shown it: the executor alone carries it out."""

from typing import Any, Self

from langchain_core.tools import BaseTool

from foundation.errors import InvalidSetting

SAID_OF_A_TOOL = ("name", "description", "args_schema", "metadata", "return_direct", "extras")


class OfferedTool(BaseTool):
    """It refuses to be called directly, as a sub-agent of some library would that the policy does not stand around."""

    @classmethod
    def of(cls, tool: BaseTool, **more: Any) -> Self:
        return cls(**{name: getattr(tool, name) for name in SAID_OF_A_TOOL}, **more)

    def _run(self, *_: Any, **__: Any) -> Any:
        raise InvalidSetting(
            f"The tool {self.name} was called past the executor, so nothing was done. Give the agent, and each sub-agent of it, "
            "`governed_tools(context.executor)` in place of `context.executor.tools` (docs/agents.md)."
        )
