"""The promises of a tool, on those of the demo. LangChain's own suite says that each is a tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool
from langchain_tests.unit_tests import ToolsUnitTests

from tests.contracts import under_test
from tests.contracts.test_tools import ARGUMENTS, CHECKS, SECTION, Check, tools_of

DESK = "examples.support_desk.tools:build"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_tool_keeps(check: Check, watched: under_test.Watch, data_dir: Path) -> None:
    for name in tools_of(DESK, data_dir):
        check(watched(SECTION, tools_of(DESK, data_dir / name)[name]), ARGUMENTS[name])


class _LangChain(ToolsUnitTests):
    name: str

    @pytest.fixture
    def tool(self, data_dir: Path) -> BaseTool:
        return tools_of(DESK, data_dir)[self.name]

    @property
    def tool_constructor(self) -> BaseTool:
        return tools_of(DESK, Path("unused"))[self.name]

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return ARGUMENTS[self.name]


class TestFindOrder(_LangChain):
    name = "find_order"


class TestListTickets(_LangChain):
    name = "list_tickets"


class TestOpenTicket(_LangChain):
    name = "open_ticket"


class TestRefund(_LangChain):
    name = "refund"
