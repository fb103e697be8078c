"""A model's Markdown as elements of the page. Images, links and HTML are not rendered: addresses are text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nicegui import html, ui

if TYPE_CHECKING:
    from markdown_it.token import Token

Write = Callable[[str], None]

BLOCKS = {
    "paragraph": html.p,
    "bullet_list": html.ul,
    "ordered_list": html.ol,
    "list_item": html.li,
    "blockquote": html.blockquote,
    "table": html.table,
    "thead": html.thead,
    "tbody": html.tbody,
    "tr": html.tr,
    "th": html.th,
    "td": html.td,
    "strong": html.strong,
    "em": html.em,
    "s": html.s,
}


def show_markdown(text: str, write: Write) -> None:
    """Build the elements of `text` in the current slot."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    _show(parser.parse(text), write)


def _show(tokens: Sequence[Token], write: Write) -> None:
    opened: list[ui.element] = []
    for token in tokens:
        name = token.type.removesuffix("_open").removesuffix("_close")
        if token.nesting == 1:
            element = html.h3() if name == "heading" else BLOCKS.get(name, html.span)()
            opened.append(element)
            element.__enter__()
            if name == "link" and (address := token.attrGet("href")):
                write(f"({address}) ")
        elif token.nesting == -1:
            opened.pop().__exit__(None, None, None)
        elif token.type == "inline":
            _show(token.children or [], write)
        else:
            _leaf(token, write)


def _leaf(token: Token, write: Write) -> None:
    if token.type in ("fence", "code_block"):
        html.pre(token.content)
    elif token.type == "code_inline":
        html.code(token.content)
    elif token.type == "hardbreak":
        html.br()
    elif token.type == "hr":
        html.hr()
    elif token.type == "softbreak":
        write("\n")
    elif token.type == "image":
        write(f"{token.content} ({token.attrGet('src')})")
    elif token.content:
        write(token.content)
