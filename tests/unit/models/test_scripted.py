"""The scripted double: it says what it was told, and says that it is a double."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool

from extensions.development.scripted_chat import NAME, ScriptedChat
from foundation.components import Context, load
from foundation.errors import InvalidSetting, UpstreamDown
from foundation.settings import Part


def _load(tmp_path: Path, **options: Any) -> ScriptedChat:
    part = Part.model_validate({"use": "scripted", **options})
    chat: ScriptedChat = load("models.chat", part, Context(data_dir=tmp_path), expected=ScriptedChat)
    return chat


def test_replies_come_in_turn_and_start_again(tmp_path: Path) -> None:
    chat = _load(tmp_path, replies=["one", "two"])
    assert [chat.invoke("x").text for _ in range(3)] == ["one", "two", "one"]


def test_a_pattern_goes_before_the_turn(tmp_path: Path) -> None:
    chat = _load(tmp_path, replies=["one"], patterns={"refund.*days": "Fourteen."})
    assert chat.invoke("Refund in how\nmany days?").text == "Fourteen."
    assert chat.invoke("hello").text == "one"


def test_it_always_says_that_it_is_a_double(tmp_path: Path) -> None:
    reply = _load(tmp_path).invoke("hello")
    assert NAME in reply.text
    assert reply.response_metadata["model_name"] == NAME
    assert reply.response_metadata["test_double"] is True


def test_it_streams_word_by_word_and_ends_with_usage(tmp_path: Path) -> None:
    chunks = list(_load(tmp_path, replies=["one two  three"]).stream("hello you"))
    assert [chunk.text for chunk in chunks if chunk.text] == ["one", " two", "  three"]
    assert sum(chunk.usage_metadata["output_tokens"] for chunk in chunks if chunk.usage_metadata) == 3


def test_it_can_be_told_to_fail(tmp_path: Path) -> None:
    with pytest.raises(UpstreamDown):
        _load(tmp_path, raises="upstream_down").invoke("hello")
    with pytest.raises(InvalidSetting, match='Did you mean "upstream_down"'):
        _load(tmp_path, raises="upstream_dwn")


def test_a_reply_may_call_tools_whole_and_streamed() -> None:
    @tool
    def find_order(number: int) -> str:
        """Find an order."""
        return str(number)

    call = AIMessage("", tool_calls=[{"name": "find_order", "args": {"number": 7}, "id": "c1"}])
    chat = ScriptedChat(replies=(call,))
    bound = chat.bind_tools([find_order])
    assert bound.invoke("x").tool_calls[0]["args"] == {"number": 7}
    whole = None
    for chunk in bound.stream("x"):
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    assert whole.tool_calls[0]["name"] == "find_order"
    assert chat.bound[0]["tools"][0]["function"]["name"] == "find_order"


def test_a_reply_may_be_a_function_of_the_messages() -> None:
    chat = ScriptedChat(replies=(lambda messages: messages[-1].text.upper(),))
    assert chat.invoke("hello").text == "HELLO"


def test_it_stops_where_it_is_told() -> None:
    assert ScriptedChat(replies=("one two three",)).invoke("x", stop=["two"]).text == "one "


def test_told_to_search_it_calls_the_tool_that_it_is_offered_and_quotes_what_fits_the_question(
    tmp_path: Path,
) -> None:
    tool = {"type": "function", "function": {"name": "search_documents", "parameters": {}}}
    chat = _load(tmp_path, searches=True)
    question = HumanMessage("How many people fit into R-12?")
    call = chat.bind_tools([tool]).invoke([question])
    assert [(made["name"], made["args"]) for made in call.tool_calls] == [
        ("search_documents", {"query": question.text})
    ]
    passages = '<passage id="2">\nThe house is old. R-12 seats 8 people.\n</passage>'
    said = chat.bind_tools([tool]).invoke([question, call, ToolMessage(passages, tool_call_id="1")])
    assert said.text == "R-12 seats 8 people. [2]"
    assert "test double" in chat.invoke([question]).text, "without tools it has nothing to say"
