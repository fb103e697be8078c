"""Conversations that a client invents: what is taken of them, a provider takes, too."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings
from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    convert_to_openai_messages,
)

from extensions.openai_api.conversation import said_by_person
from extensions.openai_api.vendors import request_from, with_footnotes
from foundation.errors import RequestError
from orchestration.events import NearDocument
from orchestration.flow.message_agent import thread_of
from orchestration.requests import ClientOptions
from tests.doubles.provider import openai_faults
from tests.doubles.serving import answer

IDS = st.sampled_from(["call_1", "call_2", "call_3"])
TEXTS = st.sampled_from(["", " ", "How warm is it?", "18 degrees"])
CALLS = st.lists(IDS, max_size=3).map(
    lambda ids: [{"id": call_id, "name": "get_weather", "args": {}, "type": "tool_call"} for call_id in ids]
)
IMAGES = st.lists(st.just({"type": "image", "base64": "AAAA", "mime_type": "image/png"}), max_size=1)
TURNS = st.one_of(
    st.builds(said_by_person, TEXTS, IMAGES),
    TEXTS.map(SystemMessage),
    st.builds(lambda text, calls: AIMessage(text, tool_calls=calls), TEXTS, CALLS),
    st.builds(lambda text, call_id: ToolMessage(text, tool_call_id=call_id), TEXTS, IDS),
)


@st.composite
def conversations(draw: st.DrawFn) -> list[AnyMessage]:
    """What a client might send: questions, calls and results in order, with a turn left out and one put in anywhere."""
    turns: list[AnyMessage] = []
    for _ in range(draw(st.integers(1, 3))):
        turns.append(HumanMessage("How warm is it?"))
        if calls := draw(CALLS):
            results = [ToolMessage("18 degrees", tool_call_id=call["id"]) for call in draw(st.permutations(calls))]
            turns += [AIMessage(draw(TEXTS), tool_calls=calls), *results]
    if draw(st.booleans()):
        del turns[draw(st.integers(0, len(turns) - 1))]
    if draw(st.booleans()):
        turns.insert(draw(st.integers(0, len(turns))), draw(TURNS))
    return turns


STRONG = SimpleNamespace(own_tools=frozenset({"search_documents"}), takes_images=True)


@given(conversations(), st.sampled_from([None, "a" * 32]))
@settings(deadline=None, max_examples=500, derandomize=True, database=None)
def test_what_is_taken_of_an_invented_conversation_a_provider_takes_too(
    turns: list[AnyMessage], thread_id: str | None
) -> None:
    try:
        request = request_from("sixply", turns, thread_id, ClientOptions(), STRONG)
    except RequestError:
        return
    if thread_id:
        assert request.messages == ()
        return
    question = said_by_person(request.question, request.images)
    shown: Any = convert_to_openai_messages([*request.messages, question, *request.since])
    assert openai_faults({"messages": shown}) == []
    assert request.question.strip()


@given(st.lists(st.text(max_size=50), max_size=3))
@settings(deadline=None, derandomize=True, database=None)
def test_ids_of_calls_that_are_none_of_ours_name_no_conversation(call_ids: list[str]) -> None:
    assert thread_of(call_ids) is None


def test_the_ids_of_calls_name_the_conversation_in_which_they_were_handed_out() -> None:
    thread = "0123456789abcdef" * 2
    assert thread_of([f"call_{thread}1", f"call_{thread}12"]) == thread
    assert thread_of([f"call_{thread}1", f"call_{'f' * 32}1"]) is None


def test_an_answer_that_was_not_given_says_where_to_look() -> None:
    near = [NearDocument(document_id=title, uri=f"{title}.md", title=title) for title in ("Warranty", "Price list")]
    refusal = answer("q", status="abstained", text="Not found.", citations=(), nearest=tuple(near))
    assert with_footnotes(refusal) == "Not found.\n\nNearest: Warranty (Warranty.md), Price list (Price list.md)"
