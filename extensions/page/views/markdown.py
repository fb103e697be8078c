"""A model's Markdown as elements of the page. Images, links and HTML are not rendered: addresses are text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from nicegui import html, ui

from extensions.page.session import copy_button
from extensions.page.views.formula import show_formula

if TYPE_CHECKING:
    from markdown_it.token import Token

Write = Callable[[str], None]

# Formulas in \\( \\) that are looked for in one text
MOST_FORMULAS = 200
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
    _show(_parse(text), write)


class Draft:
    """Markdown that grows. Only the blocks that changed are built again: the last one, as a rule."""

    def __init__(self, place: ui.element, write: Write) -> None:
        self._place, self._write = place, write
        self._text = ""
        self._blocks: list[tuple[str, ui.element]] = []

    def show(self, text: str) -> bool:
        """Show `text`; return whether it is another one than before."""
        if text == self._text:
            return False
        self._text, lines = text, text.split("\n")
        blocks = list(_top_blocks(_parse(text)))
        for number, tokens in enumerate(blocks):
            begin, end = tokens[0].map or (0, len(lines))
            written = "\n".join(lines[begin:end])
            if self._blocks[number : number + 1] and self._blocks[number][0] == written:
                continue
            self._drop_from(number)
            with self._place, html.div() as block:
                _show(tokens, self._write)
            self._blocks.append((written, block))
        self._drop_from(len(blocks))
        return True

    def _drop_from(self, number: int) -> None:
        for _, block in self._blocks[number:]:
            block.delete()
        del self._blocks[number:]


def _parse(text: str) -> list[Token]:
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin
    from mdit_py_plugins.texmath import texmath_plugin

    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    # "$5 and $10" are prices: no space within the signs, and no digit beside them
    parser.use(dollarmath_plugin, allow_space=False, allow_digits=False, allow_labels=False, double_inline=True)
    if text.count("\\(") <= MOST_FORMULAS:  # it looks for the end of each to the end of the text
        parser.use(texmath_plugin, delimiters="brackets")
    return parser.parse(text)


def _top_blocks(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    block: list[Token] = []
    for token in tokens:
        block.append(token)
        if token.level == 0 and token.nesting != 1:
            yield block
            block = []


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
        with html.div().classes("code"):
            with html.div().classes("above"):
                html.span(token.info.strip()).classes("dim")
                copy_button(token.content, "The code was copied.").props["aria-label"] = "Copy the code"
            html.pre(token.content).props["tabindex"] = "0"  # long lines are scrolled by the keyboard, too
    elif token.type in ("math_inline", "math_block"):
        show_formula(token.content.strip(), is_block=token.type == "math_block")
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
