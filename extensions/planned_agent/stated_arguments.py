"""A tool's arguments as stated in a person's words, read by the patterns of the tool's schema. No model is used."""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import regex
from langchain_core.tools import BaseTool

from foundation.errors import InvalidRequest
from foundation.text.patterns import as_word, first_spelling, in_time
from orchestration.calls import schema_of

T = TypeVar("T")
log = logging.getLogger(__name__)
# Patterns of tools that are not searched for any more
_SET_ASIDE: set[str] = set()


def arguments_in(question: str, tool: BaseTool, *, whole: str = "") -> dict[str, Any]:
    """Return the tool's arguments that the question states: by pattern, choice, currency, or as free text.

    A choice is stated by its name or by the longest matching phrase of the tool's `choice_phrases`. Free text is the
    whole question, or `whole` where the question is a part of it.
    """
    stated = {}
    for name, schema in _properties(tool).items():
        value = _value_in(question, whole or question, name, schema, required=name in required_of(tool))
        phrases = (tool.metadata or {}).get("choice_phrases", {}).get(name, {}) if value is None else {}
        named = [(len(text), choice) for choice, texts in phrases.items() for text in texts if has_word(question, text)]
        if named:
            value = max(named)[1]
        if value is not None:
            stated[name] = value
    return stated


def left_open(question: str, tool: BaseTool, found: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the optional numeric arguments that are missing although the question speaks of a share ("half", "20
    %"): their defaults would not be what was asked for.
    """
    if not _SHARE.search(question):
        return ()
    numbers = [name for name, schema in _properties(tool).items() if _kinds(schema) & {"number", "integer"}]
    return tuple(name for name in numbers if name not in found and name not in required_of(tool))


def describe(tool: BaseTool, argument: str) -> str:
    """Return a phrase to ask for an argument: its description up to a semicolon, else its name in words."""
    schema = _properties(tool).get(argument, {})
    words = str(schema.get("description") or argument.replace("_", " ")).split(";")[0].rstrip(".")
    return words[:1].lower() + words[1:] if words[1:2].islower() else words


def _value_in(question: str, whole: str, name: str, schema: Mapping[str, Any], *, required: bool) -> Any:
    kinds = _kinds(schema)
    merged = {**schema, **next((b for b in schema.get("anyOf", ()) if b.get("type") != "null"), {})}
    if "pattern" in merged:
        return _by_pattern_of_tool(question, merged["pattern"])
    if "enum" in merged:
        return next((choice for choice in merged["enum"] if has_word(question, str(choice))), None)
    if kinds & {"number", "integer"}:
        amount = _amount_in(question)
        return _count_in(question, name) if amount is None and "integer" in kinds else amount
    if "string" in kinds and required:
        return whole.strip()[: merged.get("maxLength", len(whole))]
    return None


def _by_pattern_of_tool(question: str, pattern: str) -> str | None:
    return _search(pattern, partial(first_spelling, question, pattern), None)


def _search(pattern: str, search: Callable[..., T], otherwise: T) -> T:
    """Return what `in_time` does for a pattern of a tool, whose author may be anybody. One that takes too long is set aside for the
    life of this process, with a line in the log: from then on the result is `otherwise`.
    """
    if pattern in _SET_ASIDE:
        return otherwise
    try:
        return in_time(pattern, search)
    except (InvalidRequest, RecursionError):
        _SET_ASIDE.add(pattern)
        log.warning("A tool's pattern is too slow to be looked for in questions and is set aside: %.100r", pattern)
        return otherwise


def has_word(question: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", question, re.IGNORECASE) is not None


_AMOUNT = re.compile(  # a run of digits is tried once, from its beginning
    r"(?:[$€£]|\b(?:usd|eur|gbp)\b)\s?(\d+(?:[.,]\d{1,2})?)|(?<!\d)(\d+(?:[.,]\d{1,2})?)\s?(?:[$€£]|(?:usd|eur|gbp|dollars?|euros?|pounds?)\b)",
    re.IGNORECASE,
)


def _amount_in(question: str) -> float | None:
    match = _AMOUNT.search(question)
    return float((match.group(1) or match.group(2)).replace(",", ".")) if match else None


_COUNT = re.compile(r"(?<![\w.,:/$€£-])\d{1,9}(?!\s?%|[\w:/-]|[.,]\d)")
_NUMERALS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty""".split()  # noqa: SIM905 - a word list reads as text
_WORD = "|".join(_NUMERALS[2:])
_COUNT_WORD = re.compile(rf"\b(?<!-)(?:{_WORD})\b(?!-)", re.IGNORECASE)
_SHARE = re.compile(
    r"\b(?:half|quarter|a\s+third|two\s+thirds|a\s+part|part\s+of|partial(?:ly)?|portion|some\s+of"
    rf"|(?:one|\d+|{_WORD})\s+of\s+(?:the|them|these|those|my|our)|\d+\s+per\s?cent)\b|\d\s?%",
    re.IGNORECASE,
)


def _count_in(question: str, name: str) -> int | None:
    """Return the only whole number in the question, in digits or (up to twenty) as a word. "One" counts only before
    the argument's own name: "one day" for `days`, not "the blue one".
    """
    numbers = {int(number) for number in _COUNT.findall(question)}
    numbers |= {_NUMERALS.index(word.lower()) for word in _COUNT_WORD.findall(question)}
    noun = name.rsplit("_", 1)[-1].removesuffix("s")
    if re.search(rf"\bone\s+(?:more\s+)?{re.escape(noun)}\b", question, re.IGNORECASE):
        numbers.add(1)
    return numbers.pop() if len(numbers) == 1 else None


def mask_identifiers(text: str, tools: Sequence[BaseTool]) -> str:
    """Replace identifiers by one constant, since an embedder sees them as noise and two of them as alike."""
    for pattern in {pattern for tool in tools for pattern in _patterns(tool)}:
        text = _search(pattern, partial(regex.sub, as_word(pattern), "12345", text, flags=regex.IGNORECASE), text)
    return text


def identifiers(text: str, tool: BaseTool) -> tuple[str, ...]:
    """Return every value in `text` that fits a pattern of the tool's schema, in upper case and order of appearance."""

    def search(pattern: str, timeout: float) -> list[tuple[int, int]]:
        matches = regex.finditer(as_word(pattern), text, regex.IGNORECASE, timeout=timeout)
        return [match.span() for match in matches]

    nowhere: list[tuple[int, int]] = []
    places = {place for pattern in _patterns(tool) for place in _search(pattern, partial(search, pattern), nowhere)}
    return tuple(dict.fromkeys(text[start:end].upper() for start, end in sorted(places)))


def identifies(question: str, tool: BaseTool) -> bool:
    return any(_by_pattern_of_tool(question, pattern) for pattern in _patterns(tool))


def _patterns(tool: BaseTool) -> set[str]:
    branches = [part for schema in _properties(tool).values() for part in (schema, *schema.get("anyOf", ()))]
    return {branch["pattern"] for branch in branches if "pattern" in branch}


def _properties(tool: BaseTool) -> dict[str, dict[str, Any]]:
    return dict(schema_of(tool)["properties"])


def _kinds(schema: Mapping[str, Any]) -> set[Any]:
    return {schema.get("type"), *(branch.get("type") for branch in schema.get("anyOf", ()))}


def required_of(tool: BaseTool) -> list[str]:
    return list(schema_of(tool).get("required", []))


def metadata_texts(tool: BaseTool, name: str) -> list[str]:
    return list((tool.metadata or {}).get(name, ()))
