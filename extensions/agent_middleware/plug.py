"""Where it plugs in: among the services, where the agent that calls tools finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from extensions.agent_middleware.settings import SECTION, MiddlewareSettings
from foundation.errors import UnknownPart
from foundation.extensions import find_parts
from foundation.settings import Part
from orchestration.contract import MoreMiddleware
from serving.hooks import Hooks

if TYPE_CHECKING:  # a command plugs this in, too, and needs no agent
    from langchain.agents.middleware import AgentMiddleware

    from orchestration.contract import AgentParts


class ListedMiddleware(MoreMiddleware):
    """What `[agent_middleware]` lists, opened anew for each agent, with its chat model."""

    def __init__(self, listed: tuple[Part, ...]) -> None:
        self._listed = listed

    def open(self, parts: AgentParts) -> list[AgentMiddleware[Any, Any]]:
        from extensions.agent_middleware.listed import open_middleware

        return open_middleware(self._listed, parts)


def plug(hooks: Hooks) -> None:
    listed, brought = hooks.section(MiddlewareSettings).listed, find_parts()
    for part in listed:
        _, name = brought.get(f"{SECTION}/{part.use}", ("", ""))
        if name and name not in hooks.settings.extensions:
            raise UnknownPart(
                f'[agent_middleware] "{part.use}" comes with the extension "{name}", which is off. Turn it on: make add NAME={name}'
            )
    hooks.services.append(ListedMiddleware(listed))
