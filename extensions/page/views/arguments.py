"""The arguments of a tool call, as plain words and as form fields."""

import json
from collections.abc import Mapping
from typing import Any

from nicegui import html, ui


def label_of(name: str) -> str:
    """Return the name of a tool or an argument as a label.

    >>> label_of("order_id"), label_of("amount_usd")
    ('Order id', 'Amount (USD)')
    """
    words = name.replace("_", " ").strip()
    if words.endswith(" usd"):
        words = f"{words[:-4]} (USD)"
    return words[:1].upper() + words[1:]


def display(value: Any, name: str = "") -> str:
    """Return a value in plain words, with cents where the argument's name says money.

    >>> display(True), display(None), display(["a", "b"]), display(1788.0, "amount_usd")
    ('yes', 'not given', 'a, b', '1,788.00')
    """
    if name.endswith("_usd") and isinstance(value, float):
        return f"{value:,.2f}"
    if value is None:
        return "not given"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class Arguments:
    """A field for each argument of a tool. What is no text is written as JSON; the values are validated at the decision."""

    def __init__(self, schema: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        self._given = values
        self._fields: dict[str, tuple[ui.textarea, str, bool]] = {}
        properties: Mapping[str, Any] = schema.get("properties") or {}
        with html.div().classes("fields"):
            for name in dict.fromkeys([*properties, *values]):  # a schema may leave others open
                declared = properties.get(name, {})
                value = values.get(name)
                # a number that is typed into a text, such as an order's, stays a text
                ways = [way for way in (declared, *declared.get("anyOf", ())) if isinstance(way, Mapping)]
                # a type is a name or a list of names
                takes_text = any("string" in way.get("type", ()) for way in ways)
                is_text = isinstance(value, str) or (value is None and takes_text)
                written = "" if value is None else str(value) if is_text else json.dumps(value, ensure_ascii=False)
                field = ui.textarea(label_of(name), value=written).props("outlined dense autogrow rows=1")
                hint = str(declared.get("description", "")) or ", ".join(map(display, declared.get("enum", ())))
                field.props["hint"] = hint[:1].upper() + hint[1:]
                self._fields[name] = field, written, is_text

    def values(self) -> dict[str, Any]:
        """Return all arguments but emptied ones. One whose field is unchanged is what it was, to the last space."""
        found = {}
        for name, (field, shown, is_text) in self._fields.items():
            written = field.value or ""
            if written == shown and name in self._given:
                found[name] = self._given[name]
            elif written.strip():
                found[name] = written if is_text else _parse(written.strip())
        return found


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # no JSON, so it is meant as a text
        return text
