"""The check of meaning as an extension: on it marks what a passage denies, off nobody does."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from extensions.claims.checking import find_unsupported
from extensions.claims.settings import ClaimsSettings
from foundation.errors import UnknownSetting
from orchestration.requests import AnswerRequest
from serving.settings import load
from serving.wiring import open_system
from tests.doubles import stacks
from tests.doubles.orchestration import NORTH, World
from tests.doubles.strong import calls, strong
from tests.unit.orchestration.test_tool_calling import world  # noqa: F401 - a fixture

WRONG = "A parcel may not weigh 30 kilograms [1]."


@pytest.mark.parametrize("on", [False, True])
async def test_what_a_passage_denies_is_marked_while_it_is_on(world: World, on: bool) -> None:  # noqa: F811 - the fixture
    world.answer_checks = [partial(find_unsupported, ClaimsSettings())] if on else []
    world.chat = strong(calls(("search_documents", {"query": "weight of a parcel"})), WRONG)
    events = [event async for event in world.agent().stream(AnswerRequest(question="How heavy?"), NORTH)]
    assert [claim.reason for claim in events[-1].answer.unsupported] == (["denied"] if on else [])
    assert events[-1].answer.text == (f"{WRONG} [?]" if on else WRONG)


def test_the_list_of_the_stack_turns_it_on(tmp_path: Path) -> None:
    section = "[claims]\nmin_support = 0.5\n"
    with open_system(load(stacks.stack(tmp_path, section, extensions=["claims"]))) as system:
        (check,) = system.parts.answer_checks
    assert isinstance(check, partial)
    assert check.args == (ClaimsSettings(min_support=0.5),)


def test_its_section_is_refused_while_it_is_off(tmp_path: Path) -> None:
    with pytest.raises(UnknownSetting, match="make add NAME=claims"):
        load(stacks.stack(tmp_path, "[claims]\nmin_support = 0.5\n"))
