"""LangChain's own suite on the tools of the demo. What the executor needs of them: test_tools.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool
from langchain_tests.unit_tests import ToolsUnitTests

from tests.contracts.test_tools import ARGUMENTS, CHECKS, Check, sample_of, tools_of

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


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_tools_that_a_reader_copies_keep_every_promise(check: Check, data_dir: Path) -> None:
    for tool in tools_of("examples.research_desk.tools:build", data_dir / "var").values():
        sample = sample_of(tool)
        assert sample is not None, f"{tool.name} has no sample, so that nothing of it is claimed"
        check(tool, sample["arguments"])
