"""An agent with the middleware that `[agent_middleware]` lists."""

from typing import Any

from extensions.agent_middleware.plug import ListedMiddleware
from extensions.agent_middleware.settings import MiddlewareSettings
from orchestration.contract import Agent
from tests.doubles.orchestration import World


def agent_with(world: World, *listed: Any, use: str = "tool_calling") -> Agent:
    world.services = (ListedMiddleware(MiddlewareSettings(listed=listed).listed),)
    return world.agent(use)
