"""Markdown by CommonMark's rules with tables; front matter gives the title, links and images keep their words."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from retrieval.documents import Parsed, ParseLimits
from retrieval.formats.text_blocks import TEXT_VERSION, Draft, FormatParser, clean, decode, raise_number

if TYPE_CHECKING:
    from markdown_it.token import Token

_SUP = re.compile(r"<sup>([^<>]{1,20})</sup>", re.IGNORECASE)
_FRONT_MATTER = re.compile(r"\A(---|\+\+\+)[ \t]*\n(.{0,20000}?)\n(\1|\.\.\.)[ \t]*(\n|\Z)", re.DOTALL)


def build(limits: ParseLimits) -> FormatParser:
    return FormatParser((".md", ".markdown"), f"markdown {7 + TEXT_VERSION}", _parse, limits)


def _parse(draft: Draft, content: bytes) -> Parsed:
    from markdown_it import MarkdownIt

    title, source = split_front_matter(clean(decode(content, draft.name)))
    _Walk(draft).over(MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(source))
    return draft.finish(title=title)


def split_front_matter(source: str) -> tuple[str | None, str]:
    """Return the title that YAML or TOML before the text gives, if any, and the text. What stands between two rules, and is neither, is text.

    >>> split_front_matter("---\\ntitle: Returns\\n---\\nWithin 30 days.")
    ('Returns', 'Within 30 days.')
    """
    if not (matter := _FRONT_MATTER.match(source)):
        return None, source
    fields = _read_fields(matter[2], is_toml=matter[1] == "+++")
    if not isinstance(fields, dict):
        return None, source
    title = fields.get("title")
    return str(title) if isinstance(title, (str, int, float)) else None, source[matter.end() :]


def _read_fields(text: str, *, is_toml: bool) -> Any:
    import yaml  # type: ignore[import-untyped]

    try:
        return tomllib.loads(text) if is_toml else yaml.safe_load(text) or {}
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}  # a generator of sites would refuse it, and it is no text either


class _Walk:
    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._numbers: list[int | None] = []
        self._item_begins = False
        self._rows: list[list[str]] | None = None

    def over(self, tokens: Sequence[Token]) -> None:
        for index, token in enumerate(tokens):
            match token.type:
                case "inline":
                    self._text(tokens[index - 1], plain(token.children or []))
                case "fence" | "code_block":
                    self._draft.add("code", token.content)
                case "html_block":
                    self._draft.add(
                        "paragraph", without_markup(_SUP.sub(lambda match: raise_number(match[1]), token.content))
                    )
                case _:
                    self._open_or_close(token)

    def _open_or_close(self, token: Token) -> None:
        match token.type:
            case "table_open":
                self._rows = []
            case "tr_open" if self._rows is not None:
                self._rows.append([])
            case "table_close":
                self._draft.table(self._rows or [], header=True)
                self._rows = None
            case "list_item_open":
                self._item_begins = True
            case "ordered_list_open":
                self._numbers.append(int(token.attrs.get("start", 1)))
            case "bullet_list_open":
                self._numbers.append(None)
            case "ordered_list_close" | "bullet_list_close":
                self._numbers.pop()

    def _text(self, opening: Token, text: str) -> None:
        if self._rows is not None:
            self._rows[-1].append(text)
        elif opening.type == "heading_open":
            self._draft.add("heading", without_attributes(text), level=int(opening.tag[1]))
        elif self._numbers:
            # Other steps may refer to the number of an ordered list's item
            number = self._numbers[-1] if self._item_begins else None
            if number is not None:
                self._numbers[-1] = number + 1
            self._item_begins = False
            self._draft.add("item", text if number is None else f"{number}. {text}")
        else:
            self._draft.add("paragraph", text)


def without_attributes(heading: str) -> str:
    """Take off the attributes that site generators read behind a heading, by the rule of Markdown's attribute lists.

    >>> without_attributes("CORS { #cors .wide data-x=1 }"), without_attributes("The set {a, b}")
    ('CORS', 'The set {a, b}')
    """
    words, brace, within = heading.rstrip().rpartition("{")
    attributes = within.removesuffix("}").removeprefix(":").split()
    is_list = within.endswith("}") and all(one[0] in "#." or "=" in one for one in attributes)
    return words.rstrip() if brace and attributes and is_list and words.strip() else heading


def without_markup(html: str) -> str:
    """Replace each comment and tag by a space; an unclosed one is text."""
    # Linear, where a regular expression would search again from every `<`
    words, at, comments_end = list[str](), 0, True
    while (begin := html.find("<", at)) >= 0:
        end = -1
        if comments_end and html.startswith("<!--", begin):
            end = html.find("-->", begin + 4)
            comments_end = end >= 0
        end = end + 3 if end >= 0 else html.find(">", begin) + 1
        if not end:
            break
        words += (html[at:begin], " ")
        at = end
    return "".join([*words, html[at:]])


def plain(tokens: Sequence[Token]) -> str:
    """Return the text of inline tokens: of links, descriptions of images, code without its quotes."""
    words = []
    power = False
    for token in tokens:
        if token.type in ("softbreak", "hardbreak"):
            words.append(" ")
        elif token.type == "image":
            words.append(plain(token.children or []))
        elif token.type != "html_inline":
            words.append(raise_number(token.content) if power else token.content)
        elif token.content.lower().startswith("<br"):
            words.append(" ")
        power = token.type == "html_inline" and token.content.lower() == "<sup>"
    return "".join(words)
