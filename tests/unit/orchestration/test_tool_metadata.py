"""What a tool says of itself: a key that nobody reads is refused before the first call."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool, StructuredTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel

from foundation.errors import InvalidSetting
from orchestration.actions import ToolMetadata
from orchestration.effects.executor import Executor
from orchestration.middleware.policy import governed_tools
from tests.doubles.orchestration import World

PAGE = Path(__file__).parents[3] / "docs" / "tools.md"


class Sending(BaseModel):
    parcel_id: str
    speed: str = "slow"


def executor(folder: Path, metadata: dict[str, Any] | None) -> Executor:
    tool = StructuredTool.from_function(
        lambda parcel_id, speed: f"{parcel_id} {speed}",
        name="send",
        description="send a parcel",
        args_schema=Sending,
        metadata=metadata,
    )
    return World(folder, tools=[tool]).executor()


@pytest.mark.parametrize("given", [lambda parcel_id: parcel_id, ("name", "send")])
def test_what_is_no_tool_is_refused_with_how_to_make_it_one(given: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"gave .*, which is no tool\. Put LangChain's @tool before"):
        World(tmp_path, tools=[given]).executor()


def test_a_misspelt_key_is_refused_with_the_tool_the_known_keys_and_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting) as refused:
        executor(tmp_path, {"effect": True, "chek_rules": lambda *_: ("no parcels", "We send none.")})
    told = str(refused.value)
    assert 'tool "send" has an unknown key "chek_rules"' in told
    assert 'Did you mean "check_rules"?' in told
    assert all(key in told for key in ToolMetadata.__annotations__)


@pytest.mark.parametrize(
    ("key", "value"),
    [("arguments", {"sped": "choice"}), ("choice_phrases", {"sped": {"fast": ["at once"]}}), ("units", {"sped": "1"})],
)
def test_what_is_said_of_an_argument_that_the_tool_does_not_take_is_refused(
    key: str, value: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(
        InvalidSetting, match=rf'"send".*"sped" \(`{key}`\).*Found: parcel_id, speed\. Did you mean "speed"'
    ):
        executor(tmp_path, {key: value})


def test_a_unit_that_is_no_amount_is_refused(tmp_path: Path) -> None:
    for unit in ("0", "-1", "a cent", "1e-2", ""):
        with pytest.raises(InvalidSetting, match='"speed" of tool "send" is no amount'):
            executor(tmp_path, {"units": {"speed": unit}})


@pytest.mark.parametrize("metadata", [None, {}, {"arguments": {"speed": "choice"}, "trigger_pattern": "send off"}])
def test_what_is_known_is_taken(metadata: dict[str, Any] | None, tmp_path: Path) -> None:
    assert [tool.name for tool in executor(tmp_path, metadata).tools] == ["send"]


def test_the_page_about_tools_lists_every_key_and_no_other() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("| key | default |")[2].partition("\n\n")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == sorted(ToolMetadata.__annotations__)


class Weighing(BaseTool):
    """A class of one's own, whose arguments stand in `_run` alone."""

    name: str = "weigh"
    description: str = "weigh a parcel"

    def _run(self, parcel_id: str, *, precise: bool = False) -> str:
        return f"{parcel_id} {precise}"


def test_a_tool_without_a_schema_is_offered_with_the_arguments_of_its_own_code(tmp_path: Path) -> None:
    tool = Weighing(metadata={"effect": False})
    offering = World(tmp_path, tools=[tool]).executor()
    for offered in (*offering.tools, *governed_tools(offering)):
        assert convert_to_openai_tool(offered) == convert_to_openai_tool(tool)
