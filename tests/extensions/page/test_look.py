"""Texts of models, documents and callers reach the browser as text nodes. What would take them for more is not used."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "extensions" / "page"
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
    found = [name for name, call in calls(source) if name in TAKES_MARKUP and not _is_constant_head(name, call)]
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


def _is_constant_head(name: str, call: ast.Call) -> bool:
    """Whether constants of the module, joined by "+", are put into the page, and nothing else."""
    parts = [part for argument in call.args for part in ast.walk(argument)]
    plain = all(isinstance(part, ast.Name | ast.BinOp | ast.Add | ast.Load) for part in parts)
    names = [part.id for part in parts if isinstance(part, ast.Name)]
    return name in ("add_body_html", "add_head_html") and not call.keywords and plain and all(map(str.isupper, names))


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
    assert unfit("ui.add_head_html(SIGN_IN + GO_BACK)") == []
    assert unfit("ui.add_body_html(LOADING)") == []
    for taken in (
        "text",
        "SIGN_IN + text",
        "f'{SIGN_IN}'",
        "SIGN_IN % text",
        "SIGN_IN.format(text)",
        "SIGN_IN, shared=text",
    ):
        assert unfit(f"ui.add_head_html({taken})")[:1] == ["add_head_html"], taken
    assert unfit("button.on('click', js_handler=f'() => show({text})')") == ["text"]
    assert unfit("ui.run_javascript(f'show({self._place.html_id}, {DARK})')") == []
