"""Texts of models, documents and callers reach the browser as text nodes. What would take them for more is not used."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "serving" / "page"
TAKES_MARKUP = {
    "add_body_html", "add_head_html", "add_slot", "chat_message", "html", "interactive_image", "log", "markdown", "mermaid",
    "restructured_text", "set_content",
}  # fmt: skip
RUNS_CODE = {"add_css", "run_javascript"}


def calls(source: str) -> Iterator[tuple[str, ast.Call]]:
    """Calls of methods and of what belongs to a module: `ui.html(...)`, not `html.p(...)`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr, node


def unfit(source: str) -> list[str]:
    """What a view must not do: give markup, or put anything but names of our own into code."""
    found = [name for name, _ in calls(source) if name in TAKES_MARKUP]
    for name, call in calls(source):
        handlers = [word.value for word in call.keywords if word.arg == "js_handler"]
        if name in RUNS_CODE or handlers:
            inside = [
                part
                for argument in (handlers or call.args)
                for part in ast.walk(argument)
                if isinstance(part, ast.FormattedValue)
            ]
            found += [ast.unparse(part.value) for part in inside if not _our_own(part.value)]
    return found


def _our_own(value: ast.expr) -> bool:
    """An element's id, or a constant of the module."""
    return (isinstance(value, ast.Attribute) and value.attr in ("html_id", "id")) or (
        isinstance(value, ast.Name) and value.id.isupper()
    )


def test_no_view_gives_markup_or_code_that_others_wrote() -> None:
    files = sorted(PAGE.rglob("*.py"))
    assert len(files) > 5
    assert {path.name: unfit(path.read_text(encoding="utf-8")) for path in files} == {path.name: [] for path in files}


def test_the_guard_sees_what_it_must() -> None:
    assert unfit("ui.html(text)\nui.markdown(text)\nhtml.p(text)") == ["html", "markdown"]
    assert unfit("ui.run_javascript(f'show({text})')") == ["text"]
    assert unfit("button.on('click', js_handler=f'() => show({text})')") == ["text"]
    assert unfit("ui.run_javascript(f'show({self._place.html_id}, {DARK})')") == []
