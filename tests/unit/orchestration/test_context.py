"""The care for the model's window (orchestration/middleware/context.py), with a scripted model: a double."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from extensions.development.scripted_chat import ScriptedChat
from foundation.errors import ContextTooLong
from orchestration.actions import Decision
from orchestration.middleware.context import READ
from orchestration.requests import AnswerRequest
from tests.doubles.orchestration import LEAD, NORTH, POLICY, World
from tests.doubles.strong import calls, strong


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, agents="tool_calling")
    yield world
    world.close()


async def test_a_long_result_is_shown_in_part_and_can_be_read_on(world: World) -> None:
    def find_parcel(parcel_id: str) -> tuple[str, None]:
        return f"start {'x' * 60_000} end of {parcel_id}", None

    world.depot.find_parcel = find_parcel  # type: ignore[assignment, method-assign]
    world.chat = strong(
        calls(("find_parcel", {"parcel_id": "P-123"})),
        calls(("read_result", {"call_id": "call_find_parcel_1", "start": 24_000})),
        "It is there.",
    )
    events = [event async for event in world.agent().stream(AnswerRequest(question="Where is P-123?"), NORTH)]
    first = next(message.text for message in world.chat.seen[1] if isinstance(message, ToolMessage))
    assert "Read on with read_result" in first
    assert len(first) < 52_000, "a tenth of 128,000 tokens"
    last = world.chat.seen[2][-1]
    assert last.text.endswith("end of P-123")
    assert events[-1].answer.status == "answered"


async def test_a_result_is_read_on_though_a_later_short_one_has_its_id(world: World) -> None:
    texts = iter([f"start {'x' * 60_000} end", "short"])

    def find_parcel(parcel_id: str) -> tuple[str, None]:
        del parcel_id
        return next(texts), None

    world.depot.find_parcel = find_parcel  # type: ignore[assignment, method-assign]
    find = calls(("find_parcel", {"parcel_id": "P-123"}))
    read_on = ("read_result", {"call_id": "call_find_parcel_1", "start": 24_000})
    world.chat = strong(find, find, calls(read_on), "It is there.")
    [event async for event in world.agent().stream(AnswerRequest(question="Where is P-123?"), NORTH)]
    assert world.chat.seen[3][-1].text.endswith("x end")


async def test_a_summary_stands_until_the_window_is_full_again_and_is_made_of_the_one_before(world: World) -> None:
    made = []

    def reply(messages: Sequence[BaseMessage]) -> AIMessage:
        if "Summarise this conversation" in messages[0].text:
            made.append(messages[0].text)
            return AIMessage(f"Summary {len(made)}.")
        return AIMessage("Noted.")

    world.chat = ScriptedChat(replies=(reply,), profile={"tool_calling": True, "max_input_tokens": 6_000})
    thread_id = None
    for number in range(40):
        asked = AnswerRequest(question=f"Number {number}. {'My colour is blue. ' * 40}", thread_id=thread_id)
        last = [event async for event in world.agent().stream(asked, NORTH)][-1].answer
        assert last is not None
        thread_id = last.thread_id
    assert 2 <= len(made) <= 6, "of 40 turns, of which a window holds 17"
    assert all(
        f"[The system's summary of what was said before: Summary {number}.]" in text
        for number, text in enumerate(made[1:], 1)
    )
    assert max(map(len, made)) < 4 * 6_000, "each fits into the window itself"
    shown = [seen for seen in world.chat.seen if "Summarise" not in seen[0].text]
    changed = sum(one[:-1] != other[: len(one) - 1] for one, other in pairwise(shown))
    assert changed == len(made), "else the beginning is that of the call before"


async def test_old_turns_are_summarised_once_the_window_is_nearly_full_and_stay_stored(world: World) -> None:
    profile = {"tool_calling": True, "max_input_tokens": 5_000}
    replies = ("Noted.", "They like blue, in short.", "Blue.")
    world.chat = ScriptedChat(replies=replies, profile=profile)
    agent = world.agent()
    long = "My colour is blue. " * 380
    first = [event async for event in agent.stream(AnswerRequest(question=long), NORTH)][-1].answer
    assert first is not None
    again = AnswerRequest(question=long + "Which one is it?", thread_id=first.thread_id)
    last = [event async for event in agent.stream(again, NORTH)][-1].answer
    assert last is not None
    assert last.text == "Blue."
    shown = [message.text for message in world.chat.seen[-1]]
    summary = "[The system's summary of what was said before: They like blue, in short.]"
    assert shown[1:] == [summary, READ, again.question], "the summary is no part of what the person says"
    stored = await agent._graph.aget_state({"configurable": {"thread_id": first.thread_id}})
    assert [message.text for message in stored.values["messages"]][:2] == [long.strip(), "Noted."]


async def test_an_empty_summary_is_not_what_is_remembered_of_the_conversation(world: World) -> None:
    # the second time it is longer than the window, and summarised in two pieces
    replies = ("Noted.", "", "Which?", "They like it.", "They like blue, in short.", "Blue.")
    world.chat = ScriptedChat(replies=replies, profile={"tool_calling": True, "max_input_tokens": 5_000})
    agent, long, thread_id, answers = world.agent(), "My colour is blue. " * 380, None, []
    for question in (long, f"{long}Which one is it?", "Which colour?"):
        asked = AnswerRequest(question=question, thread_id=thread_id)
        answers.append([event async for event in agent.stream(asked, NORTH)][-1].answer)
        assert answers[-1] is not None
        thread_id = answers[-1].thread_id
    assert "earlier turns are left out: they could not be summarised (empty)" in answers[1].degraded
    assert any("They like blue, in short." in message.text for message in world.chat.seen[-1])


def tokens_of(text: str) -> int:
    """What a server with a tokenizer would count: four characters of ASCII a token, and one of any other script."""
    return sum(1 if ord(character) > 127 else 0.25 for character in text).__ceil__()


class Server:
    """A server that counts the reply into its window and refuses what does not fit, as vLLM does."""

    def __init__(self, window: int, reply: int, *, says: Any = "Noted.", told: int = 0) -> None:
        self.window, self.reply, self.says, self.refused = window, reply, says, 0
        profile = {"tool_calling": True, "max_input_tokens": told or window}
        self.chat = LimitedChat(replies=(self.answer,), profile=profile, max_tokens=reply)

    def answer(self, messages: Sequence[BaseMessage]) -> AIMessage:
        tools = json.dumps(self.chat.bound[-1].get("tools") or ())
        read = sum(tokens_of(message.text) for message in messages) + tokens_of(tools)
        if read + min(self.reply, self.chat.bound[-1].get("max_tokens") or self.reply) > self.window:
            self.refused += 1
            raise ContextTooLong("This model's maximum context length is 8192 tokens.")
        reply = self.says(messages) if callable(self.says) else AIMessage(self.says)
        return reply.model_copy(
            update={"usage_metadata": {"input_tokens": read, "output_tokens": 9, "total_tokens": read + 9}}
        )


class LimitedChat(ScriptedChat):
    max_tokens: int = 4096


async def converse(world: World, turns: Sequence[str]) -> list[Any]:
    agent, thread_id, answers = world.agent(), None, []
    for asked in turns:
        request = AnswerRequest(question=asked, thread_id=thread_id)
        last = [event async for event in agent.stream(request, NORTH)][-1]
        assert last.answer is not None, last
        thread_id = last.answer.thread_id
        answers.append(last.answer)
    return answers


CHINESE = "\u8bf7\u544a\u8bc9\u6211\u5305\u88f9\u5728\u54ea\u91cc\u3002"


@pytest.mark.parametrize("text", ["My colour is blue, as I have said. ", CHINESE])
async def test_a_conversation_goes_on_where_the_server_counts_the_reply_into_its_window(
    world: World, text: str
) -> None:
    server = Server(8_192, 4_096)
    world.chat = server.chat
    answers = await converse(world, [f"{number} {text * 12}" for number in range(30)])
    assert {answer.text for answer in answers} == {"Noted."}
    assert server.refused == 0


async def test_a_window_that_is_smaller_than_stated_makes_room_and_goes_on(world: World) -> None:
    server = Server(8_192, 1_000, told=32_000)
    world.chat = server.chat
    answers = await converse(world, [f"{number} {'My colour is blue. ' * 60}" for number in range(30)])
    assert {answer.text for answer in answers} == {"Noted."}
    assert 1 <= server.refused <= 6, "not in each turn"


async def test_a_small_window_has_room_for_several_results_and_the_reply_gets_what_is_left(world: World) -> None:
    with_long_results(world, 4_000)
    replies = [calls(FIND, first=number) for number in range(1, 9)]
    server = Server(8_192, 4_096, says=lambda messages: replies.pop(0) if replies else AIMessage("Found."))
    world.chat = server.chat
    (answer,) = await converse(world, ["Where is P-123?"])
    assert answer.text == "Found."
    assert server.refused == 0
    limits = [bound.get("max_tokens") or 4_096 for bound in world.chat.bound]
    assert limits[0] == 4_096, "no less than is stated, while there is room"
    assert 2_048 <= min(limits) < 4_096
    whole = [sum(message.text.startswith("start word") for message in seen) for seen in world.chat.seen]
    assert max(whole) >= 3


FIND = ("find_parcel", {"parcel_id": "P-123"})


def with_long_results(world: World, length: int) -> None:
    def find_parcel(parcel_id: str) -> tuple[str, None]:
        return f"start {'word ' * (length // 5)} end of {parcel_id}", None

    world.depot.find_parcel = find_parcel  # type: ignore[assignment, method-assign]


async def test_results_that_the_model_has_not_read_are_never_left_out(world: World) -> None:
    """Eight at once, in a window that has no room for all: each is shortened, and none is replaced."""
    with_long_results(world, 9_000)
    world.chat = strong(calls(*[FIND] * 8), "Found.")
    world.chat.profile = {"tool_calling": True, "max_input_tokens": 14_000}
    [event async for event in world.agent().stream(AnswerRequest(question="Where is P-123?"), NORTH)]
    shown = [message.text for message in world.chat.seen[1] if isinstance(message, ToolMessage)]
    assert len(shown) == 8
    assert all(text.startswith("start word") and "Read on with read_result" in text for text in shown)
    assert max(map(len, shown)) - min(map(len, shown)) < 200, "all alike"


async def test_the_outcome_of_an_effect_stays_and_nobody_is_asked_to_do_it_again(world: World) -> None:
    with_long_results(world, 9_000)
    send = calls(("send_parcel", {"parcel_id": "P-124", "reason": "urgent"}))
    world.chat = strong(send, *[calls(FIND, first=number) for number in range(2, 14)], "Sent.")
    world.chat.profile = {"tool_calling": True, "max_input_tokens": 12_000}
    agent = world.agent()
    waits = [event async for event in agent.stream(AnswerRequest(question="Send P-124, it is urgent."), NORTH)]
    decided = Decision(approval_id=waits[-1].answer.approval.approval_id, approve=True)
    [event async for event in agent.resume(decided, LEAD)]
    assert world.chat.seen[1][-1].text.startswith("Parcel P-124 has been sent.")
    for seen in world.chat.seen[2:]:
        results = [message.text for message in seen if isinstance(message, ToolMessage)]
        assert results[0].startswith("Parcel P-124 has been sent.")
        assert results[-1].startswith("start word"), "the model has not read this one"
        assert not any("again if" in text for text in results)
    assert any("You have read this result" in message.text for message in world.chat.seen[-1])


async def test_results_are_left_out_rarely_and_many_at_once(world: World) -> None:
    """Else a provider's cache of prompts is lost in each round."""
    with_long_results(world, 4_000)
    world.chat = strong(*[calls(FIND, first=number) for number in range(1, 29)], "Found.")
    world.chat.profile = {"tool_calling": True, "max_input_tokens": 24_000}
    [event async for event in world.agent().stream(AnswerRequest(question="Where is P-123?"), NORTH)]
    changed = sum(one != other[: len(one)] for one, other in pairwise(world.chat.seen))
    assert 1 <= changed <= 4, "of 28 rounds"


async def test_what_was_left_out_can_be_read_again(world: World) -> None:
    with_long_results(world, 9_000)
    again = calls(("read_result", {"call_id": "call_find_parcel_1", "start": 0}))
    world.chat = strong(*[calls(FIND, first=number) for number in range(1, 9)], again, "Found.")
    world.chat.profile = {"tool_calling": True, "max_input_tokens": 12_000}
    [event async for event in world.agent().stream(AnswerRequest(question="Where is P-123?"), NORTH)]
    assert world.chat.seen[-1][-1].text.startswith("start word")


async def test_a_model_that_thinks_has_room_for_its_summary(world: World) -> None:
    """And a transcript that is longer than the window comes in pieces."""
    world.chat = ScriptedChat(replies=("Short.",), profile={"tool_calling": True, "max_input_tokens": 5_000})
    history = tuple(
        (HumanMessage if number % 2 == 0 else AIMessage)(f"{number} {'My colour is blue. ' * 40}")
        for number in range(40)
    )
    request = AnswerRequest(question="Which?", messages=history)
    answer = [event async for event in world.agent().stream(request, NORTH)][-1].answer
    assert answer.text == "Short."
    summaries = [
        (seen, bound)
        for seen, bound in zip(world.chat.seen, world.chat.bound, strict=True)
        if "Summarise" in seen[0].text
    ]
    assert 2 <= len(summaries) <= 4
    assert all(bound["max_tokens"] >= 1_000 for _, bound in summaries)
    assert all(tokens_of(seen[0].text) < 5_000 - 1_250 for seen, _ in summaries)


async def test_a_passage_stands_once_in_the_conversation_and_is_named_after_that(world: World) -> None:
    search = ("search_documents", {"query": "parcel"})
    world.chat = strong(calls(search, search), calls(search, first=3), "Thirty kilograms [1].", "As I said [1].")
    answers = await converse(world, ["How heavy may a parcel be?", "Are you sure?"])
    shown = [message.text for message in world.chat.seen[-1] if isinstance(message, ToolMessage)]
    assert "\n".join(shown).count("at most 30 kilograms") == 1
    assert "[Above already: 1" in shown[1]
    assert "[Above already: 1" in shown[2]
    assert [cited.uri for cited in answers[1].citations] == ["parcels.md"]
    prefixes = [(one, other) for one, other in pairwise(world.chat.seen) if one != other[: len(one)]]
    assert not prefixes, "what was sent stays as it was"


async def test_a_passage_is_shown_again_once_it_was_left_out_above(world: World) -> None:
    with_long_results(world, 9_000)
    search = ("search_documents", {"query": "parcel"})
    rounds = [calls(FIND, first=number) for number in range(2, 10)]
    world.chat = strong(calls(search), *rounds, calls(search, first=10), "Thirty kilograms [1].")
    world.chat.profile = {"tool_calling": True, "max_input_tokens": 12_000}
    await converse(world, ["How heavy may a parcel be?"])
    first, *_, last = (message.text for message in world.chat.seen[-1] if isinstance(message, ToolMessage))
    assert first == "[You have read passages 1-4, left out to save room. open_document shows them.]"
    assert "at most 30 kilograms" in last


def history(turns: int) -> tuple[BaseMessage, ...]:
    return tuple(
        (HumanMessage if number % 2 == 0 else AIMessage)(f"{number} {'My colour is blue. ' * 20}")
        for number in range(2 * turns)
    )


async def test_a_client_that_sends_all_messages_pays_a_summary_once_and_not_with_each_request(world: World) -> None:
    world.chat = ScriptedChat(replies=("Short.",), profile={"tool_calling": True, "max_input_tokens": 8_000})
    agent, summaries = world.agent(), []
    for turns in range(30, 36):
        request = AnswerRequest(question="Which?", messages=history(turns))
        assert [event async for event in agent.stream(request, NORTH)][-1].answer.text == "Short."  # type: ignore[union-attr]
        summaries.append(sum("Summarise" in seen[0].text for seen in world.chat.seen))
    assert summaries[0] >= 1
    assert summaries[-1] == summaries[0], "of the same beginning"


async def test_a_turn_of_many_rounds_goes_on_in_a_small_window_and_what_was_done_stays_told(world: World) -> None:
    """Its first rounds are summed up, and neither the question nor an effect is lost to that."""
    with_long_results(world, 2_000)
    world.policy = POLICY.model_copy(update={"effects_without_approval": ("send_parcel",)})
    asked, made = "Send parcel P-123, as I asked. Then find P-123 again and again.", []

    def reply(messages: Sequence[BaseMessage]) -> AIMessage:
        if "Summarise this conversation" in messages[0].text:
            return AIMessage("They look for parcels.")
        made.append(messages)
        send = ("send_parcel", {"parcel_id": "P-123", "reason": "as asked"})
        return calls(FIND if len(made) > 1 else send, text="I look for it again. " * 25, first=len(made))

    server = Server(6_000, 2_000, says=reply)
    world.chat = server.chat
    (answer,) = await converse(world, [asked])
    assert len(made) == 30
    assert "rounds used up" in answer.degraded[0]
    assert server.refused == 0
    assert all(sum(message.text.count(asked) for message in seen) == 1 for seen in made)
    assert all(any("Parcel P-123 has been sent." in message.text for message in seen) for seen in made[1:])
    assert any("Done before, and not to be done again" in message.text for message in made[-1])


async def test_a_search_shows_the_passages_for_which_there_is_room_and_names_the_others(world: World) -> None:
    world.retriever.documents = {f"{number}.md": ("*", f"parcel {number} " + "word " * 400) for number in range(8)}
    search = ("search_documents", {"query": "parcel"})
    world.chat = strong(calls(search), calls(search, first=2), "Found [1].")
    world.chat.profile = {"tool_calling": True, "max_input_tokens": 12_000}
    await converse(world, ["How heavy may a parcel be?"])
    first, second = (message.text for message in world.chat.seen[-1] if isinstance(message, ToolMessage))
    assert first.count("<passage") == 3
    assert "[Found as well, and not shown to save room: 4, 5, 6" in first
    assert "[Above already: 1, 2, 3.]" in second
    assert second.count("<passage") == 3, "the next ones"
