"""What of a Markdown text is prose: code, formulas and addresses are left as they are by whatever checks or neutralises words."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

_LINE = re.compile(r"[^\r\n]*+(?:\r\n?|\n)|[^\r\n]++")
_TICKS, _LONGEST_SPAN = re.compile("`+"), 1000
_SPAN = re.compile(rf"(`++)[^\r\n]{{1,{_LONGEST_SPAN}}}?(?<!`)\1(?!`)")
_FENCE, _MAY_BE_FENCE = re.compile(r" *(`{3,}+(?=[^`]*$)|~{3,})"), re.compile(r" *(?:[`~]{0,2}|`{3,}[^`]*|~{3}.*)")
# Where blocks within others begin: quotes and items of lists
_CONTAINERS = r"[ \t]*(?:(?:>|[-*+]|\d{1,9}[.)])[ \t]*)*"
# A line that begins a block of HTML, in which backticks are no code; of the named ones it goes on after an empty line
_HTML = re.compile(rf"{_CONTAINERS}<(?:(pre|script|style|textarea|[!?])|[a-z/])", re.IGNORECASE)
# A fence, for some clients or for all, where this splitter sees none
_OTHER_FENCE = re.compile(rf"{_CONTAINERS}(?:`{{3,}}+(?=[^`]*$)|~~~)")
_ITEM = re.compile(r" *(?:[-*+]|(?P<number>\d{1,9})[.)]) {1,4}(?=[^ \t\r\n])(?![-*_ \t]+\r?\n?$)")
# As `_CONTAINERS`, but that a dash is left to the row, or a row of many would be tried in every division
_DELIMITERS = re.compile(r"(?:[ \t-]*+(?:[>*+]|\d{1,9}[.)]))*+(?=[|: \t]*+-)[|: \t-]*+\r?\n?$")
_MAY_BE_BLOCK, _PIPE = re.compile(r" {4}|\t|```|~~~"), re.compile(r"(?<!\\)\|")
# Behind these, a backtick may be part of a tag, an address or a link, and what is quoted by it none
_TAG = re.compile(r"<[^\s<>\"'`!?][^<>\"'`]*>")
_OPEN = re.compile(r"<(?:[!?]|[^\s<>]*$|[A-Za-z][^<>]*[\"'])|\]\((?![^()\"'<>]*\))|\]\[(?![^\[\]]*\])|\]:|\\$")
_MAY_OPEN = re.compile(r"[<\]\\]")
# What is doubtful, up to an empty line but for the last: code with pipes, code within a line, fences too, all to the end
_PIPES, _SPANS, _FENCES, _ALL = 1, 2, 3, 4
_FORMULA = re.compile(
    r"\$\$[^$]{1,1000}\$\$|\\\[(?s:.{1,500}?)\\\]|\\\((?s:.{1,500}?)\\\)|(?<![\\$\w])\$(?=[^\s$])[^$\n]{0,200}(?<=[^\s\\])\$(?![\d$])"
)
_ADDRESS = re.compile(
    r"\]\([^()\s]{0,2000}|<?\b[a-z][a-z0-9+.-]{1,20}://[^\s<>|)]{0,2000}|\bwww\.[^\s<>|)]{1,2000}", re.IGNORECASE
)


class CodeSplitter:
    """Splits Markdown that comes in pieces into prose and code: fenced blocks, and code within a line. What cannot be told yet waits.

    Code is only what every reading of CommonMark shows as code, since a client makes links and pictures of all else. So it errs
    towards prose: code over several lines, behind a backtick that nothing closes on its line, in HTML, or in a block whose
    indentation leaves open where it ends.
    """

    def __init__(self) -> None:
        self._line, self._at, self._behind_code = "", 0, 0  # the line that goes on, and places in it
        self._fence, self._indent = "", 0
        self._doubt, self._after_blank = 0, True
        self._items = list[int]()  # how far the items of lists are indented that the line stands in

    def split(self, text: str, *, last: bool = False) -> Iterator[tuple[str, bool]]:
        """Yield what is decided by now as (piece, whether it is code); with `last` all."""
        lines = _LINE.findall(self._line[-1:] + text)  # a return may be half of the line's end
        begun = self._line[:-1]
        for line, following in zip(lines, (*lines[1:], ""), strict=False):
            self._line, begun = begun + line, ""
            yield from self._split_line(following, last=last)

    def _split_line(self, following: str, *, last: bool) -> Iterator[tuple[str, bool]]:
        line, in_block = self._line, bool(self._fence)
        is_whole = last or bool(following) or line.endswith("\n")
        while self._at < len(line):
            begin, at = self._at, self._at
            if is_whole or not (in_block or (at == 0 and _MAY_BE_FENCE.fullmatch(line))):
                begin, at = self._next_block() or self._next_span(following, is_whole=is_whole, last=last)
            if begin > self._at:
                yield line[self._at : begin], False
            if at > begin:
                yield line[begin:at], True
                self._behind_code = at
            if at == self._at:
                return
            self._at = at
        if is_whole:
            if not (in_block or self._fence):
                self._note(line)
            self._line, self._at, self._behind_code = "", 0, 0

    def _next_block(self) -> tuple[int, int] | None:
        """Return where code begins and ends in a line of a fenced block, or that opens one; `None`: it is another line."""
        line, end = self._line, len(self._line)
        if self._fence:
            return (0 if self._is_in_block(line) else end), end
        fence = _FENCE.match(line) if self._at == 0 and self._doubt < _FENCES else None
        # in each reading the lines behind an empty one are code, by the fence or by their indentation
        if not fence or not (self._after_blank or self._begins_block(fence.start(1))):
            return None
        self._fence, self._indent, self._after_blank = fence[1], fence.start(1), False
        if not self._indent:  # such a block ends whatever stands before it
            self._doubt, self._items = 0, []
        return self._indent, end

    def _is_in_block(self, line: str) -> bool:
        indent, body = _indent_of(line), line.strip(" \t\r\n")
        is_fence = len(body) >= len(self._fence) and {*body} == {self._fence[0]}
        may_close = indent <= max(3, self._indent)
        if self._indent and body and (indent < self._indent or (is_fence and not may_close)):
            self._fence, self._doubt = "", _ALL
            return False
        if is_fence and may_close:
            self._fence = ""
        return True

    def _begins_block(self, indent: int) -> bool:
        return indent <= 3 + max((item for item in self._items if item <= indent), default=0)

    def _next_span(self, following: str, *, is_whole: bool, last: bool) -> tuple[int, int]:
        """Return where the next code within the line begins and ends; the same twice: prose alone is decided up to there."""
        line, end = self._line, len(self._line)
        sign = _TICKS.search(line, self._at) if self._doubt < _SPANS else None
        if not sign or self._doubt_behind(line[self._behind_code : sign.start()]) >= _SPANS:
            return end, end
        begin, span = sign.start(), _SPAN.match(line, sign.start())
        may_go_on = end - sign.end() <= _LONGEST_SPAN + len(sign[0]) if not span else span.end() == end
        has_pipe = span and _PIPE.search(span[0])  # by which a row of a table would be parted into cells
        if (may_go_on and not is_whole) or (has_pipe and not following and not last):
            return begin, begin
        if not span or (has_pipe and (self._doubt or following[:1] in {*"|:-> \t"})):
            self._doubt = _SPANS
            return end, end
        return begin, span.end()

    def _doubt_behind(self, text: str) -> int:
        """Return what is doubtful behind this text, with which the line begins or goes on behind code."""
        if not self._behind_code and (html := _HTML.match(text)):
            self._doubt = max(self._doubt, _ALL if html[1] else _FENCES)
        elif self._doubt < _SPANS and _MAY_OPEN.search(text) and _OPEN.search(_TAG.sub("", text)):
            self._doubt = _SPANS
        return self._doubt

    def _note(self, line: str) -> None:
        """Keep what a line of prose says about the next ones."""
        if not line.strip(" \t\r\n"):
            self._doubt, self._after_blank = self._doubt if self._doubt == _ALL else 0, True
            return
        self._doubt_behind(line[self._behind_code :])
        if _OTHER_FENCE.match(line):
            self._doubt = _ALL
        elif not self._doubt and _DELIMITERS.match(line):
            self._doubt = _PIPES
        indent, found = _indent_of(line), _ITEM.match(line)
        inside = [item for item in self._items if item <= indent]
        # another number begins no list within a paragraph
        may_begin = found and (found["number"] in {None, "1"} or self._after_blank or inside != self._items)
        if found and may_begin and self._begins_block(indent) and self._doubt < _FENCES:
            inside.append(found.end())
        self._items = inside
        self._after_blank = False


def _indent_of(line: str) -> int:
    return len(line[: len(line) - len(line.lstrip(" \t"))].expandtabs(4))


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """Return the text with `change` applied to what is no code.

    >>> outside_code("a `b` c", str.upper)
    'A `b` C'
    """
    return "".join(piece if is_code else change(piece) for piece, is_code in CodeSplitter().split(text, last=True))


def blank_code(text: str) -> str:
    """Return the text, of the same length, with spaces in place of code, formulas and addresses."""
    pieces = CodeSplitter().split(text, last=True)
    blank = list("".join(_spaces(piece) if is_code else piece for piece, is_code in pieces))
    for start, end in _blocks_of_code(text):
        blank[start:end] = _spaces(text[start:end])
    prose = "".join(blank)
    for pattern in (_FORMULA, _ADDRESS):
        prose = pattern.sub(lambda found: _spaces(found[0]), prose)
    return prose


def _spaces(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _blocks_of_code(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of all blocks of code, those in lists and the indented ones, too. Nothing is rendered by them, so one reading
    will do.
    """
    if not _MAY_BE_BLOCK.search(text):
        return
    lines = text.split("\n")
    starts = [0, *accumulate(len(line) + 1 for line in lines)]
    for token in _blocks().parse(text.replace("\r", " ").replace("\0", " ")):
        if token.type in {"fence", "code_block"} and token.map:
            yield starts[token.map[0]], min(starts[token.map[1]], len(text))


@cache
def _blocks() -> "MarkdownIt":
    from markdown_it import MarkdownIt  # few answers have such a block

    return MarkdownIt("commonmark").disable(["inline", "reference"])
