"""Streams that were cut off, or end with several reasons."""

from __future__ import annotations

from langchain_core.messages import AIMessageChunk, HumanMessage

from models.pricing import message_until_cut, usage_of
from models.resilience.streams import is_cut_off, join_chunks


def test_a_reply_that_reached_its_limit_did_so_whatever_is_said_after_it() -> None:
    said = [AIMessageChunk("a", response_metadata={"finish_reason": reason}) for reason in ("length", "stop")]
    assert is_cut_off(join_chunks(said))


def test_of_a_stream_that_was_cut_off_all_counts_are_added_and_a_part_is_estimated() -> None:
    def chunk(text: str, *counts: int) -> AIMessageChunk:
        usage = {"input_tokens": counts[0], "output_tokens": counts[1], "total_tokens": sum(counts)} if counts else None
        return AIMessageChunk([{"type": "thinking", "thinking": None}, text], usage_metadata=usage)

    whole = message_until_cut([chunk("", 10, 1), chunk("word", 0, 60)], [])
    assert whole.usage_metadata is not None
    assert (whole.usage_metadata["input_tokens"], whole.usage_metadata["output_tokens"]) == (10, 61)
    part = message_until_cut([chunk("", 10, 1), chunk("word " * 400)], [HumanMessage("a question")])
    assert part.usage_metadata is not None
    assert part.usage_metadata["output_tokens"] > 300
    assert (
        part.usage_metadata["total_tokens"]
        == part.usage_metadata["input_tokens"] + part.usage_metadata["output_tokens"]
    )
    assert usage_of(message_until_cut([chunk("word", -5, 1)], [HumanMessage("a question")])).output_tokens
