"""The tool-calling agent with a scripted model: a double, which says what a strong model might say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage

from foundation.errors import InvalidSetting
from models.chat.scripted import ScriptedChat
from orchestration.contract import AnswerRequest, Decision, Event
from tests.doubles.orchestration import LEAD, NORTH, SOUTH, World
from tests.doubles.strong import calls, strong


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, agents="tool_calling")
    yield world
    world.close()


async def run(world: World, question: str, *replies: Any, thread_id: str | None = None) -> tuple[list[Event], Any]:
    world.chat = strong(*replies)
    agent = world.agent()
    events = [event async for event in agent.stream(AnswerRequest(question=question, thread_id=thread_id), NORTH)]
    return events, agent


async def test_it_searches_reads_and_cites(world: World) -> None:
    events, _ = await run(
        world,
        "How heavy may a parcel be?",
        calls(("search_documents", {"query": "weight of a parcel"})),
        "A parcel may weigh at most **30 kilograms** [1].",
    )
    answer = events[-1].answer
    assert answer is not None
    assert answer.text == "A parcel may weigh at most **30 kilograms** [1]."
    assert [citation.quote for citation in answer.citations] == ["A parcel may weigh at most 30 kilograms."]
    assert (answer.status, answer.path, answer.degraded) == ("answered", "generative", ())


async def test_words_reach_the_caller_as_the_model_writes_them(world: World) -> None:
    events, _ = await run(
        world,
        "How heavy may a parcel be?",
        calls(("search_documents", {"query": "weight"}), text="Let me look."),
        "A parcel may weigh at most 30 kilograms [1].",
    )
    tokens = [(event.round, event.token) for event in events if event.kind == "token"]
    assert "".join(word for _, word in tokens if _ == 1) == "Let me look."
    assert "".join(word for _, word in tokens if _ == 2) == "A parcel may weigh at most 30 kilograms [1]."
    kinds = [event.kind for event in events]
    assert kinds.index("tool") < len(kinds) - 1 - kinds[::-1].index("token"), (
        "the tool is told before the answer's words"
    )
    assert [event.tool.status for event in events if event.tool] == ["begun", "done"]
    assert kinds[-2:] == ["citation", "answer"]


async def test_two_tools_at_once_and_an_approval_that_the_run_waits_for(world: World) -> None:
    events, agent = await run(
        world,
        "Where is P-123? And please send P-124, it is urgent.",
        calls(("find_parcel", {"parcel_id": "P-123"}), ("send_parcel", {"parcel_id": "P-124", "reason": "urgent"})),
        "P-123 is at the counter, and P-124 has been sent.",
    )
    waiting = events[-1].answer
    assert waiting is not None
    assert (waiting.status, waiting.stop_reason) == ("waiting", "approval")
    assert waiting.approval is not None
    assert waiting.approval.arguments["parcel_id"] == "P-124"
    assert world.depot.sent == []
    assert len(world.depot.callers) == 1, "the other call was carried out meanwhile"
    decided = Decision(approval_id=waiting.approval.approval_id, approve=True)
    answer = [event async for event in agent.resume(decided, LEAD)][-1].answer
    assert answer is not None
    assert (answer.status, answer.text) == ("answered", "P-123 is at the counter, and P-124 has been sent.")
    assert [parcel for parcel, _ in world.depot.sent] == ["P-124"]
    assert len(world.depot.callers) == 2, "and was not made again"


async def test_a_rejected_action_is_told_to_the_model(world: World) -> None:
    events, agent = await run(
        world,
        "Send P-124, it is urgent.",
        calls(("send_parcel", {"parcel_id": "P-124", "reason": "urgent"})),
        "Your colleague did not approve it, so P-124 stays here.",
    )
    decided = Decision(approval_id=events[-1].answer.approval.approval_id, approve=False, note="not today")
    answer = [event async for event in agent.resume(decided, LEAD)][-1].answer
    assert answer.text == "Your colleague did not approve it, so P-124 stays here."
    assert world.depot.sent == []
    told = [message.text for message in world.chat.seen[-1] if isinstance(message, ToolMessage)]
    assert told == ["Nothing was done. lena did not approve it: not today"]


async def test_of_two_actions_that_wait_each_is_decided_by_itself(world: World) -> None:
    events, agent = await run(
        world,
        "Send P-124 and P-125, both are urgent.",
        calls(*(("send_parcel", {"parcel_id": parcel, "reason": "urgent"}) for parcel in ("P-124", "P-125"))),
        "P-124 was not approved; P-125 has been sent.",
    )
    first = events[-1].answer.approval
    second = next(item for item in await world.approvals.pending("north") if item.approval_id != first.approval_id)
    half = [e async for e in agent.resume(Decision(approval_id=second.approval_id, approve=True), LEAD)][-1].answer
    assert (half.status, half.approval.approval_id) == ("waiting", first.approval_id)
    whole = [e async for e in agent.resume(Decision(approval_id=first.approval_id, approve=False), LEAD)][-1].answer
    assert whole.status == "answered"
    assert [parcel for parcel, _ in world.depot.sent] == [second.arguments["parcel_id"]]


async def test_a_statement_that_nothing_supports_is_written_again_once_and_then_marked(world: World) -> None:
    wrong = "A parcel may weigh at most 45 kilograms [1]."
    events, _ = await run(
        world, "How heavy may a parcel be?", calls(("search_documents", {"query": "weight of a parcel"})), wrong, wrong
    )
    answer = events[-1].answer
    assert answer.text == "A parcel may weigh at most 45 kilograms [?]."
    assert [(claim.reason, claim.text) for claim in answer.unsupported] == [
        ("figure", "A parcel may weigh at most 45 kilograms.")
    ]
    assert answer.citations == ()
    assert "1 statement is marked [?]" in answer.degraded[0]
    assert "45" in world.chat.seen[-1][-1].text, "the model was told what is wrong"


async def test_a_repaired_answer_is_the_only_one_that_is_kept(world: World) -> None:
    events, agent = await run(
        world,
        "How heavy may a parcel be?",
        calls(("search_documents", {"query": "weight of a parcel"})),
        "A parcel may weigh at most 45 kilograms [1].",
        "A parcel may weigh at most 30 kilograms [1].",
        "You are welcome.",
    )
    answer = events[-1].answer
    assert (answer.text, answer.degraded) == ("A parcel may weigh at most 30 kilograms [1].", ())
    request = AnswerRequest(question="Thank you!", thread_id=answer.thread_id)
    thanks = [event async for event in agent.stream(request, NORTH)][-1].answer
    assert thanks.text == "You are welcome."
    assert [message.text for message in world.chat.seen[-1] if isinstance(message, AIMessage)] == ["", answer.text]


async def test_the_last_round_is_told_that_it_is_the_last(world: World) -> None:
    world.chat = strong(
        *[calls(("search_documents", {"query": "x"}), first=n) for n in range(3)], "I found nothing more."
    )
    agent = world.agent(rounds=4)
    answer = [event async for event in agent.stream(AnswerRequest(question="What is it?"), NORTH)][-1].answer
    assert answer.text == "I found nothing more."
    assert "last turn" in world.chat.seen[-1][-1].text
    assert "rounds used up" in answer.degraded[0]


async def test_a_call_in_the_last_round_is_not_made(world: World) -> None:
    world.chat = strong(
        calls(("search_documents", {"query": "x"})), calls(("find_parcel", {"parcel_id": "P-123"}), text="So.")
    )
    agent = world.agent(rounds=2)
    answer = [event async for event in agent.stream(AnswerRequest(question="Where is it?"), NORTH)][-1].answer
    assert answer.text == "So."
    assert world.depot.callers == []


async def test_arguments_that_are_no_json_and_unknown_tools_are_told_to_the_model(world: World) -> None:
    broken = AIMessage(
        "",
        tool_calls=[{"name": "fly", "args": {}, "id": "c1", "type": "tool_call"}],
        invalid_tool_calls=[
            {"name": "find_parcel", "args": "{", "id": "c2", "error": None, "type": "invalid_tool_call"}
        ],
    )
    events, _ = await run(world, "Where is P-123?", broken, "I cannot do that.")
    told = {message.tool_call_id: message.text for message in world.chat.seen[-1] if isinstance(message, ToolMessage)}
    assert "no JSON" in told["c2"]
    assert "may not use fly" in told["c1"]
    assert events[-1].answer.text == "I cannot do that."


async def test_an_empty_reply_is_asked_for_again_and_never_given(world: World) -> None:
    events, _ = await run(world, "Hello?", "", "Hello! How can I help?")
    assert events[-1].answer.text == "Hello! How can I help?"
    events, _ = await run(world, "Hello?", "", "")
    assert (events[-1].kind, events[-1].code) == ("error", "upstream_malformed")


async def test_a_long_result_is_shown_in_part_and_can_be_read_on(world: World) -> None:
    def find_parcel(parcel_id: str) -> tuple[str, None]:
        return f"start {'x' * 30_000} end of {parcel_id}", None

    world.depot.find_parcel = find_parcel  # type: ignore[assignment, method-assign]
    events, _ = await run(
        world,
        "Where is P-123?",
        calls(("find_parcel", {"parcel_id": "P-123"})),
        calls(("read_result", {"call_id": "call_find_parcel_1", "start": 24_000})),
        "It is there.",
    )
    first = next(message.text for message in world.chat.seen[1] if isinstance(message, ToolMessage))
    assert "Read on with read_result" in first
    assert len(first) < 13_000
    last = world.chat.seen[2][-1]
    assert last.text.endswith("end of P-123")
    assert events[-1].answer.status == "answered"


@pytest.mark.parametrize(
    ("content", "artifact"),
    [('{"who": "Zo\\u00eb"}', {"who": "Zoë"}), ("", None), ("Error: no parcel", None), ('[{"n": 1.0}]', [{"n": 1.0}])],
)
async def test_a_result_reaches_the_model_as_the_tool_gave_it(world: World, content: str, artifact: Any) -> None:
    def find_parcel(parcel_id: str) -> tuple[str, Any]:
        del parcel_id
        return content, artifact

    world.depot.find_parcel = find_parcel  # type: ignore[assignment, method-assign]
    await run(world, "Where is P-123?", calls(("find_parcel", {"parcel_id": "P-123"})), "It is there.")
    assert [message.text for message in world.chat.seen[1] if isinstance(message, ToolMessage)] == [content]


async def test_an_answer_may_rest_on_results_of_earlier_turns_and_on_the_persona(world: World) -> None:
    parcels = iter(["Parcel P-123 weighs 17 kilograms.", "Parcel P-124 is there."])

    def find_parcel(parcel_id: str) -> tuple[str, None]:
        del parcel_id
        return next(parcels), None

    world.depot.find_parcel = find_parcel  # type: ignore[assignment, method-assign]
    world.chat = strong(
        calls(("find_parcel", {"parcel_id": "P-123"})),
        "It is found.",
        calls(("find_parcel", {"parcel_id": "P-124"}), first=2),
        "P-123 weighs 17 kilograms, and sending it costs 23 dollars.",
    )
    world.prompts = world.prompts.with_text("persona", "You sell postage. Each parcel costs 23 dollars.")
    agent = world.agent("tool_calling")
    first = [event async for event in agent.stream(AnswerRequest(question="Where is P-123?"), NORTH)][-1].answer
    request = AnswerRequest(question="And P-124? What will it cost?", thread_id=first.thread_id)
    second = [event async for event in agent.stream(request, NORTH)][-1].answer
    assert (second.unsupported, second.degraded) == ((), ())
    assert second.text == "P-123 weighs 17 kilograms, and sending it costs 23 dollars."


async def test_a_question_in_another_language_is_the_models_to_read(world: World) -> None:
    events, _ = await run(
        world,
        "Wie viele Kilogramm darf ein Paket wiegen?",
        calls(("search_documents", {"query": "weight of a parcel"})),
        "Ein Paket der Firma darf höchstens 30 Kilogramm wiegen [1].",
    )
    answer = events[-1].answer
    assert (answer.text, answer.degraded) == ("Ein Paket der Firma darf höchstens 30 Kilogramm wiegen [1].", ())


async def test_what_the_checkpoints_hold_of_documents_are_ids(world: World) -> None:
    events, agent = await run(
        world,
        "How heavy may a parcel be?",
        calls(("search_documents", {"query": "weight of a parcel"})),
        "A parcel may weigh at most 30 kilograms [1].",
    )
    stored = await agent._graph.aget_state({"configurable": {"thread_id": events[-1].answer.thread_id}})
    results = [message for message in stored.values["messages"] if isinstance(message, ToolMessage)]
    assert [message.text for message in results] == ["4 passages."] or "kilograms" not in results[0].text
    shown = [message.text for message in world.chat.seen[-1] if isinstance(message, ToolMessage)]
    assert '<passage id="1" title="parcels.md">' in shown[0]
    assert "seems to give orders" in shown[0], "the poisoned document is shown, and marked"


async def test_each_tenant_reads_its_own(world: World) -> None:
    await run(world, "Depot?", calls(("search_documents", {"query": "northern depot"})), "Yes.")
    assert any("northern depot" in message.text for message in world.chat.seen[-1])
    world.chat = strong(calls(("search_documents", {"query": "northern depot"})), "No.")
    agent = world.agent()
    _ = [event async for event in agent.stream(AnswerRequest(question="Depot?"), SOUTH)]
    assert not any("northern depot keeps" in message.text for message in world.chat.seen[-1])


async def test_a_model_without_tools_is_refused_at_the_start(world: World) -> None:
    world.chat = ScriptedChat(replies=("Hello.",), profile={"tool_calling": False})
    with pytest.raises(InvalidSetting, match="calls no tools"):
        world.agent()
    assert type(world.agent("auto")).__name__ == "GraphAgent"
    world.chat = strong("Hello.")
    assert type(world.agent("auto", tool_calling={"rounds": 3})).__name__ == "ToolCallingAgent"
    with pytest.raises(InvalidSetting, match="rounds"):
        world.agent("auto", tool_calling={"rounds": 1})


async def test_a_model_of_which_nothing_is_known_gets_the_planned_agent_with_a_warning(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    for profile in ({"tool_calling": False}, {"tool_calling": True}):
        world.chat = ScriptedChat(replies=("Hello.",), profile=profile)
        world.agent("auto")
    assert caplog.text == ""
    world.chat = ScriptedChat(replies=("Hello.",))
    assert type(world.agent("auto")).__name__ == "GraphAgent"
    assert "make model-check" in caplog.text
