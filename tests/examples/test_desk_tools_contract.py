"""LangChain's own suite on the tools of the demo. What the executor needs of them: test_tools.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool
from langchain_tests.unit_tests import ToolsUnitTests

from tests.contracts.test_tools import ARGUMENTS, tools_of

DESK = "examples.support_desk.tools:build"


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
