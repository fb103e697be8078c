"""The judge of meaning: one call an answer, a reason for each mark, and nothing marked where it cannot say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from extensions.development.hashing_embedder import HashingEmbedder
from extensions.judge.judging import JudgeCheck
from extensions.judge.settings import JudgeSettings
from foundation import components
from foundation.errors import InvalidSetting, UnknownPart, UpstreamMalformed
from foundation.settings import Part
from models.contract import ScoringParts
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from serving.settings import load
from serving.wiring import open_system
from tests.doubles import stacks
from tests.doubles.orchestration import NORTH, World
from tests.doubles.strong import calls, strong
from tests.unit.orchestration.test_tool_calling import world  # noqa: F401 - a fixture

SAID = "Parcels of the northern depot are kept for 14 days [1]. Every parcel goes by freight [1].\n\n```\nkeep(14)\n```"


async def answer(world: World, verdict: str, settings: JudgeSettings = JudgeSettings(), said: str = SAID) -> Answer:  # noqa: B008, F811
    world.answer_checks = [JudgeCheck.of(settings)]
    world.chat = strong(calls(("search_documents", {"query": "northern depot parcel weight"})), said, verdict)
    events = [event async for event in world.agent().stream(AnswerRequest(question="How heavy?"), NORTH)]
    given = events[-1].answer
    assert given is not None
    return given


def doubts(*statements: int) -> str:
    listed = [{"statement": number, "reason": f"No text says {number}."} for number in statements]
    return json.dumps({"not_supported": listed})


def asked_of(world: World) -> dict[str, Any]:  # noqa: F811
    orders, asked = world.chat.seen[-1][-2:]  # type: ignore[attr-defined]
    assert "Use the texts alone" in orders.text
    given: dict[str, Any] = json.loads(asked.text)
    return given


async def test_what_the_judge_doubts_is_marked_with_its_reason(world: World) -> None:  # noqa: F811
    given = await answer(world, doubts(2))
    assert [(each.text, each.reason, each.detail) for each in given.unsupported] == [
        ("Every parcel goes by freight [1].", "unsupported", "No text says 2.")
    ]
    assert given.text == SAID.replace("freight [1].", "freight [1]. [?]")


async def test_one_call_has_all_statements_and_what_was_read_and_is_charged(world: World) -> None:  # noqa: F811
    given = await answer(world, doubts())
    asked = asked_of(world)
    assert [each["says"] for each in asked["statements"]] == [
        "Parcels of the northern depot are kept for 14 days .",
        "Every parcel goes by freight .",
    ]
    assert [each["cites"] for each in asked["statements"]] == [["1"], ["1"]]
    assert "1" in asked["texts"]
    assert len(world.chat.seen) == 3  # type: ignore[attr-defined]
    assert len([charge for charge in world.till.charges if charge.kind == "chat"]) == 3
    assert (given.unsupported, given.text) == ((), SAID)


@pytest.mark.parametrize("reply", ["I think it is fine.", '{"not_supported": "none"}', "", '{"not_supported": [{}]}'])
async def test_a_reply_that_is_no_verdict_marks_nothing_and_the_answer_says_so(world: World, reply: str) -> None:  # noqa: F811
    given = await answer(world, reply)
    assert (given.unsupported, given.text) == ((), SAID)
    assert "what the answer means could not be checked (upstream_malformed)" in given.degraded


async def test_a_verdict_in_a_block_of_code_and_of_statements_that_are_none_is_read(world: World) -> None:  # noqa: F811
    given = await answer(world, f"```json\n{doubts(1, 99, -1)}\n```")
    assert [each.text for each in given.unsupported] == ["Parcels of the northern depot are kept for 14 days [1]."]


async def test_where_nothing_was_read_nobody_is_asked(world: World) -> None:  # noqa: F811
    world.answer_checks = [JudgeCheck.of(JudgeSettings())]
    world.chat = strong("Good morning.")
    events = [event async for event in world.agent().stream(AnswerRequest(question="Hello!"), NORTH)]
    assert events[-1].answer is not None
    assert len(world.chat.seen) == 1


def test_its_prompt_is_a_file_beside_the_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "conf"
    folder.mkdir()
    (folder / "mine.md").write_text("Judge strictly.", encoding="utf-8")
    sections = '[judge]\nprompt = "mine.md"\n[models.entailment]\nuse = "chat"\nprompt = "mine.md"\n'
    path = stacks.stack(folder, sections, extensions=["datasets", "judge", "structured"])
    monkeypatch.chdir(tmp_path)
    with open_system(load(path.relative_to(tmp_path))) as system:
        (check,) = system.parts.answer_checks
    assert isinstance(check, JudgeCheck)
    assert check.orders == "Judge strictly."


def test_a_prompt_that_cannot_be_read_is_named() -> None:
    with pytest.raises(InvalidSetting, match=r"nowhere\.md cannot be read"):
        JudgeCheck.of(JudgeSettings(prompt=Path("nowhere.md")))


async def test_statements_beyond_the_limit_are_not_judged_and_the_answer_says_so(world: World) -> None:  # noqa: F811
    given = await answer(world, doubts(1, 2), JudgeSettings(statements=1))
    assert len(asked_of(world)["statements"]) == 1
    assert [each.text for each in given.unsupported] == ["Parcels of the northern depot are kept for 14 days [1]."]
    assert "what 1 of 2 statements mean was not judged" in given.degraded


# --- as the part `chat` of [models.entailment] ------------------------------------------------------------------------

PAIRS = [("A refund is paid.", "a refund"), ("A parcel comes.", "penguins breed"), ("A refund is paid.", "a fee")]


def chat_judge(reply: str) -> tuple[Any, Any]:
    chat = strong(reply)
    parts = ScoringParts(data_dir=Path(), embedder=HashingEmbedder(8), chat=chat)
    return components.load("models.entailment", Part(use="chat"), parts), chat


def test_all_pairs_are_one_call_with_each_text_once() -> None:
    judge, chat = chat_judge(doubts(2, 3))
    assert judge.support(PAIRS) == [1.0, 0.0, 0.0]
    (messages,) = chat.seen
    asked = json.loads(messages[-1].text)
    assert asked["texts"] == {"1": "A refund is paid.", "2": "A parcel comes."}
    assert [it["cites"] for it in asked["statements"]] == [["1"], ["2"], ["1"]]


@pytest.mark.parametrize("reply", ["", "yes", "87", '{"not_supported": "all"}'])
def test_a_chat_model_that_replies_with_no_verdict_is_an_error_that_says_what_to_do(reply: str) -> None:
    judge, _ = chat_judge(reply)
    with pytest.raises(UpstreamMalformed, match=r"judge 3 statements.*make remove NAME=judge"):
        judge.support(PAIRS)


def test_without_a_chat_model_nobody_can_be_asked() -> None:
    parts = ScoringParts(data_dir=Path(), embedder=HashingEmbedder(8))
    with pytest.raises(InvalidSetting, match="needs the chat model"):
        components.load("models.entailment", Part(use="chat"), parts)


def test_whoever_asks_for_it_while_the_judge_is_off_is_told_how_to_turn_it_on(tmp_path: Path) -> None:
    path = stacks.stack(tmp_path, '[models.entailment]\nuse = "chat"\n')
    with pytest.raises(UnknownPart, match="make add NAME=judge"):
        load(path)
