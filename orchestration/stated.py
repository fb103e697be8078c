"""What a person's words state of a tool's arguments, read by the patterns of the tool's schema. No model is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from orchestration.arguments import schema_of
from orchestration.contract import BaseTool


def arguments_in(question: str, tool: BaseTool, *, whole: str = "") -> dict[str, Any]:
    """The tool's arguments as far as the question states them: by pattern, choice, currency, or as free text.

    A choice counts as stated by its name, or by one of the phrases that the tool declares for it: `metadata["said_as"]`,
    argument by choice by phrases (`{"priority": {"P2": ["urgent"], "P4": ["not urgent"]}}`); of several the longest.
    Free text is all of the question, or `whole` where the question is a part of it.
    """
    found = {}
    for name, schema in _properties(tool).items():
        value = _value_in(question, whole or question, schema, required=name in required_of(tool))
        if value is None:
            value = _choice_in(question, (tool.metadata or {}).get("said_as", {}).get(name, {}))
        if value is not None:
            found[name] = value
    return found


def describe(tool: BaseTool, argument: str) -> str:
    """How to ask a person for an argument, inside a sentence: its description in the schema, else its name in words."""
    schema = _properties(tool).get(argument, {})
    words = str(schema.get("description") or argument.replace("_", " ")).rstrip(".")
    return words[:1].lower() + words[1:] if words[1:2].islower() else words


def _value_in(question: str, whole: str, schema: Mapping[str, Any], *, required: bool) -> Any:
    kinds = {schema.get("type"), *(branch.get("type") for branch in schema.get("anyOf", ()))}
    merged = {**schema, **next((b for b in schema.get("anyOf", ()) if b.get("type") != "null"), {})}
    if "pattern" in merged:
        return by_pattern(question, merged["pattern"])
    if "enum" in merged:
        return next((choice for choice in merged["enum"] if has_word(question, str(choice))), None)
    if kinds & {"number", "integer"}:
        amount = _amount_in(question)
        return _count_in(question) if amount is None and "integer" in kinds else amount
    if "string" in kinds and required:
        return whole.strip()[: merged.get("maxLength", len(whole))]
    return None


def _choice_in(question: str, said_as: Mapping[str, Sequence[str]]) -> str | None:
    said = [
        (len(phrase), choice) for choice, phrases in said_as.items() for phrase in phrases if has_word(question, phrase)
    ]
    return max(said)[1] if said else None


def by_pattern(question: str, pattern: str) -> str | None:
    bare = pattern.removeprefix("^").removesuffix("$")
    match = re.search(rf"(?<!\w){bare}(?!\w)", question, re.IGNORECASE)
    spellings = (match.group(), match.group().upper(), match.group().lower()) if match else ()
    return next((text for text in spellings if re.fullmatch(bare, text)), None)


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


def _count_in(question: str) -> int | None:
    """The whole number that stands there by itself, if there is only one."""
    found = {int(number) for number in _COUNT.findall(question)}
    return found.pop() if len(found) == 1 else None


def masked(text: str, tools: Sequence[BaseTool]) -> str:
    """Identifiers replaced by one word: an embedder sees them as noise, and two of them as alike."""
    for pattern in {schema["pattern"] for tool in tools for schema in _flat(tool) if "pattern" in schema}:
        bare = pattern.removeprefix("^").removesuffix("$")
        text = re.sub(rf"(?<!\w){bare}(?!\w)", "12345", text, flags=re.IGNORECASE)
    return text


def identifiers(text: str, tool: BaseTool) -> tuple[str, ...]:
    """Every value in `text` that fits a pattern of the tool's schema, in order of appearance."""
    bare = {schema["pattern"].removeprefix("^").removesuffix("$") for schema in _flat(tool) if "pattern" in schema}
    matches = [match for pattern in bare for match in re.finditer(rf"(?<!\w){pattern}(?!\w)", text, re.IGNORECASE)]
    return tuple(dict.fromkeys(match.group().upper() for match in sorted(matches, key=re.Match.start)))


def identifies(question: str, tool: BaseTool) -> bool:
    return any(by_pattern(question, schema["pattern"]) for schema in _flat(tool) if "pattern" in schema)


def _flat(tool: BaseTool) -> list[Mapping[str, Any]]:
    return [{**schema, **branch} for schema in _properties(tool).values() for branch in (schema.get("anyOf") or [{}])]


def _properties(tool: BaseTool) -> dict[str, dict[str, Any]]:
    return dict(schema_of(tool).get("properties", {}))


def required_of(tool: BaseTool) -> list[str]:
    return list(schema_of(tool).get("required", []))


def declared(tool: BaseTool, name: str) -> list[str]:
    return list((tool.metadata or {}).get(name, ()))
