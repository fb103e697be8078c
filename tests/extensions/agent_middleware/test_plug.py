"""[agent_middleware] in a whole system."""

from pathlib import Path

import pytest

from foundation.errors import UnknownPart
from orchestration.contract import MoreMiddleware
from serving.settings import load
from serving.wiring import open_system
from tests.doubles.stacks import CLERK, stack

TODO = '[agent_middleware]\nlisted = ["langchain.agents.middleware:TodoListMiddleware"]\n'


def test_the_agent_of_the_system_has_what_is_listed(tmp_path: Path) -> None:
    path = stack(tmp_path, TODO, extensions=["agent_middleware"], chat=CLERK)
    with open_system(load(path)) as system:
        assert any(isinstance(service, MoreMiddleware) for service in system.hooks.services)
        assert "write_todos" in system.agent.own_tools  # type: ignore[attr-defined]


def test_one_of_an_extension_that_is_off_says_how_to_turn_it_on(tmp_path: Path) -> None:
    named = '[[agent_middleware.listed]]\nuse = "subagent"\nname = "a"\nabout = "b"\n'
    path = stack(tmp_path, named, extensions=["agent_middleware"])
    with pytest.raises(UnknownPart, match="make add NAME=subagents"), open_system(load(path)):
        pass
