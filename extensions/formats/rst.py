"""Reading of reStructuredText by docutils: directives and roles of Sphinx keep their words, and nothing is included or run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from retrieval.documents import Parsed, ParseLimits
from retrieval.formats.text_blocks import TEXT_VERSION, Draft, FormatParser, clean, decode

if TYPE_CHECKING:
    from docutils import nodes

_DIRECTIVE, _ROLE = re.compile(r"\.\. (?:\|[^|\n]{1,99}\| )?([\w:+.-]{1,60}?) ?::"), re.compile(r":([\w:+.-]{1,60}?):`")
# What they hold is code, whatever options Sphinx gives them
_CODE = ("code", "code-block", "sourcecode", "parsed-literal", "prompt", "math", "graphviz", "testcode", "doctest")
# Names of files and anchors, for the one who builds the pages
_SILENT = ("toctree", "index", "currentmodule", "highlight", "contents", "include", "literalinclude", "raw", "meta")
_NUMBERED = ("pep", "rfc")
_LONGEST_LINE = 1_000_000
_SETTINGS = {
    "file_insertion_enabled": False, "raw_enabled": False, "report_level": 5, "halt_level": 6, "warning_stream": False,
    "syntax_highlight": "none", "line_length_limit": _LONGEST_LINE,
}  # fmt: skip


def build(limits: ParseLimits) -> FormatParser:
    return FormatParser((".rst",), f"rst {1 + TEXT_VERSION}", _parse, limits)


def _parse(draft: Draft, content: bytes) -> Parsed:
    from docutils.frontend import get_default_settings
    from docutils.parsers.rst import Parser
    from docutils.utils import new_document

    text = clean(decode(content, draft.name))
    _register_unknown(text)
    parser = Parser(rfc2822=True)  # a PEP begins with the fields of a mail
    settings = get_default_settings(Parser)
    vars(settings).update(_SETTINGS)
    document = new_document(draft.name, settings)
    parser.parse(text, document)
    walk = _Walk(draft, document)
    walk.over(document)
    return draft.finish(title=walk.title)


def _register_unknown(text: str) -> None:
    """Have docutils keep what directives and roles hold that it does not know, such as those of Sphinx."""
    from docutils.parsers.rst import directives, languages, roles
    from docutils.utils import Reporter

    silent, english = Reporter("", report_level=5, halt_level=6, stream=""), languages.get_language("en")
    for name in (*_CODE, *_SILENT):
        directives.register_directive(name, _directive(name))
    for name in {found.lower() for found in _DIRECTIVE.findall(text)} - {*_CODE, *_SILENT}:
        if directives.directive(name, english, _Nothing(silent))[0] is None:
            directives.register_directive(name, _directive(name))
    for name in {found.lower() for found in _ROLE.findall(text)}:
        if name in _NUMBERED or roles.role(name, english, 0, silent)[0] is None:
            roles.register_local_role(name, _role)


class _Nothing:
    """What docutils asks a document for while it looks for a directive."""

    def __init__(self, reporter: Any) -> None:
        self.reporter, self.current_line = reporter, 0


def _directive(name: str) -> Any:
    from docutils import nodes
    from docutils.parsers.rst import Directive

    class Options(dict[str, Callable[[Any], Any]]):
        def __bool__(self) -> bool:
            return True

        def __getitem__(self, key: str) -> Callable[[Any], Any]:
            return lambda value: value

    class Kept(Directive):  # type: ignore[misc]  # docutils has no types
        optional_arguments, final_argument_whitespace, has_content, option_spec = 1, True, True, Options()

        def run(self) -> list[nodes.Node]:
            if name in _SILENT:
                return []
            if name in _CODE:
                return [nodes.literal_block("", "\n".join(self.content))]
            kept = nodes.container()
            for argument in self.arguments:
                kept += nodes.paragraph("", "", *self.state.inline_text(argument, self.lineno)[0])
            self.state.nested_parse(self.content, self.content_offset, kept)
            return [kept]

    return Kept


def _role(name: str, raw: str, text: str, *_: Any, **__: Any) -> tuple[list[nodes.Node], list[nodes.Node]]:
    from docutils import nodes

    named = text.rpartition("<")[0].rstrip() if text.endswith(">") else ""  # `a name <what it links to>`
    words = (named or text).lstrip("~!")
    numbered = f"{name.upper()} {words}" if name in _NUMBERED and words.isdigit() else words
    return [nodes.inline(raw, numbered)], []


class _Walk:
    def __init__(self, draft: Draft, document: nodes.document) -> None:
        from docutils import nodes

        self._nodes, self._draft = nodes, draft
        self._substitutions = {name: definition.astext() for name, definition in document.substitution_defs.items()}
        self.title: str | None = None

    def over(self, node: nodes.Element, level: int = 0) -> None:
        for child in node.children:
            if isinstance(child, self._nodes.Element):
                getattr(self, f"_{child.tagname}", self._other)(child, level)

    def _other(self, node: nodes.Element, level: int) -> None:
        """A paragraph where there is text, and whatever holds further blocks otherwise."""
        nodes = self._nodes
        if isinstance(node, nodes.Invisible | nodes.system_message | nodes.target):
            return
        if isinstance(node, nodes.TextElement):
            self._draft.add("paragraph", self._words(node))
        else:
            self.over(node, level)

    def _section(self, node: nodes.Element, level: int) -> None:
        self.over(node, level + 1)

    def _title(self, node: nodes.Element, level: int) -> None:
        in_section = isinstance(node.parent, self._nodes.section)
        self._draft.add("heading" if in_section else "paragraph", self._words(node), level=level if in_section else 0)

    def _literal_block(self, node: nodes.Element, level: int) -> None:  # noqa: ARG002
        self._draft.add("code", node.astext())

    _doctest_block = _math_block = _literal_block

    def _bullet_list(self, node: nodes.Element, level: int) -> None:
        for item in node.children:
            self._item(item, "", level)

    def _enumerated_list(self, node: nodes.Element, level: int) -> None:
        for number, item in enumerate(node.children, start=int(node.get("start", 1))):
            self._item(item, f"{number}. ", level)

    def _definition_list_item(self, node: nodes.Element, level: int) -> None:
        terms = ", ".join(self._words(it) for it in node.children[:-1])
        self._item(node.children[-1], f"{terms}: ", level)

    def _option_list_item(self, node: nodes.Element, level: int) -> None:
        self._item(node.children[-1], f"{self._words(node.children[0])}: ", level)

    def _field(self, node: nodes.Element, level: int) -> None:
        name, body = node.children
        if name.astext().lower() == "title" and isinstance(node.parent.parent, self._nodes.document):
            self.title = " ".join(self._words(body).split())
        if body.children:
            self._item(body, f"{self._words(name)}: ", level, kind="paragraph")

    def _footnote(self, node: nodes.Element, level: int) -> None:  # noqa: ARG002
        label = node.children[0]
        self._draft.add("paragraph", f"[{label.astext()}] {' '.join(self._words(it) for it in node.children[1:])}")

    _citation = _footnote

    def _item(self, node: Any, before: str, level: int, *, kind: str = "item") -> None:
        first, *rest = node.children or [None]
        if isinstance(first, self._nodes.paragraph):
            self._draft.add(kind, before + self._words(first))
        else:
            self._draft.add(kind, before.rstrip(": "))
            rest = node.children
        for child in rest:
            self.over(_holding(child), level)

    def _table(self, node: nodes.Element, level: int) -> None:  # noqa: ARG002
        nodes = self._nodes
        for caption in node.findall(nodes.title):
            self._draft.add("paragraph", self._words(caption))
        rows = [[self._words(entry) for entry in row.children] for row in node.findall(nodes.row)]
        self._draft.table(rows, header=next(iter(node.findall(nodes.thead)), None) is not None)

    def _image(self, node: nodes.Element, level: int) -> None:  # noqa: ARG002
        self._draft.add("paragraph", node.get("alt", ""))

    def _words(self, node: Any) -> str:
        return "".join(self._pieces(node))

    def _pieces(self, node: Any) -> Iterator[str]:
        nodes = self._nodes
        if isinstance(node, nodes.Text):
            yield str(node)
        elif isinstance(node, nodes.footnote_reference | nodes.citation_reference):
            yield f"[{node.astext()}]"
        elif isinstance(node, nodes.substitution_reference):
            yield self._substitutions.get(node["refname"], node.astext())
        elif isinstance(node, nodes.image):
            yield node.get("alt", "")
        elif not isinstance(node, nodes.Invisible | nodes.system_message):
            for child in node.children:
                yield from self._pieces(child)
                if isinstance(child, nodes.Body | nodes.line) and not isinstance(child, nodes.Inline):
                    yield "\n"


def _holding(node: Any) -> Any:
    from docutils import nodes

    return nodes.container("", node)
