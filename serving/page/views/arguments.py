"""The arguments of a tool call, as plain words and as form fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from nicegui import html, ui

from foundation.errors import InvalidRequest


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
    """A field for each argument of a tool, by its JSON schema. The values are validated at the decision."""

    def __init__(self, schema: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        self._read: dict[str, Callable[[], Any]] = {}
        properties: Mapping[str, Any] = schema.get("properties") or {name: {} for name in values}
        required = set(schema.get("required", ()))
        with html.div().classes("fields"):
            for name, declared in properties.items():
                self._read[name] = _field(
                    name, _resolve(declared, schema), values.get(name), may_be_absent=name not in required
                )

    def values(self) -> dict[str, Any]:
        """Return all arguments but empty ones. Raises InvalidRequest: a field's value does not have its type."""
        read = {name: value() for name, value in self._read.items()}
        return {name: value for name, value in read.items() if value is not None}


def _resolve(declared: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an argument's schema, with its reference resolved and the `null` of optional ones removed."""
    if "$ref" in declared:
        name = str(declared["$ref"]).rpartition("/")[2]
        return {**schema.get("$defs", {}).get(name, {}), **declared}
    kinds = [option for option in declared.get("anyOf", ()) if option.get("type") != "null"]
    return {**declared, **_resolve(kinds[0], schema)} if len(kinds) == 1 else declared


def _field(name: str, declared: Mapping[str, Any], value: Any, *, may_be_absent: bool) -> Callable[[], Any]:
    label, hint = label_of(name), str(declared.get("description", ""))
    kind = declared.get("type")
    if "enum" in declared:
        choices = [*([None] if may_be_absent else []), *declared["enum"]]
        chosen = ui.select(
            {choice: display(choice) for choice in choices}, label=label, value=value if value in choices else None
        )
        _look(chosen, hint)
        return lambda: chosen.value
    if kind == "boolean":
        switch = ui.checkbox(label, value=bool(value))
        return lambda: bool(switch.value)
    if kind in ("number", "integer"):
        number = ui.number(label, value=value)
        _look(number, hint)
        whole = kind == "integer"
        return lambda: None if number.value is None else (int(number.value) if whole else float(number.value))
    if kind == "string":
        text = ui.input(label, value=value or "")
        _look(text, hint)
        return lambda: text.value or None
    written = ui.textarea(f"{label}, as JSON", value="" if value is None else json.dumps(value, ensure_ascii=False))
    _look(written.props("autogrow"), hint)
    return lambda: _parse(label, written.value)


def _look(field: ui.element, hint: str) -> None:
    field.props("outlined dense")
    if hint:
        field.props["hint"] = hint[:1].upper() + hint[1:]


def _parse(label: str, text: str | None) -> Any:
    if not (text or "").strip():
        return None
    try:
        return json.loads(text or "")
    except ValueError as error:
        raise InvalidRequest(f"{label} is no JSON: {error}.") from error
