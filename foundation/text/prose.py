"""What of a Markdown text is prose: code, formulas and addresses are left as they are by whatever checks or neutralises words."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

_SIGN, _TICKS = re.compile(r"`+|~+"), re.compile(r"`+")
_FENCE_SIGNS, _LONGEST_SPAN = 3, 1000
# Where blocks within others begin: quotes and items of lists
_CONTAINERS = r"[ \t]*(?:(?:>|[-*+]|\d{1,9}[.)])[ \t]*)*"
# A line that begins a block of HTML, in which backticks are no code; the second kind goes on after an empty line
_HTML = re.compile(rf"{_CONTAINERS}<[A-Za-z/!?]")
_HTML_TO_THE_END = re.compile(rf"{_CONTAINERS}<(?:pre|script|style|textarea|[!?])", re.IGNORECASE)
# A fence, for some clients or for all, where this splitter sees none
_OTHER_FENCE = re.compile(rf"{_CONTAINERS}(?:`{{3}}|~~~)")
_ITEM = re.compile(r"(?P<indent> *)(?:[-*+]|(?P<number>\d{1,9})[.)]) {1,4}(?=[^ \t\r\n])(?![-*_ \t]+\r?\n?$)")
# As `_CONTAINERS`, but that a dash is left to the row, or a row of many would be tried in every division
_DELIMITERS = re.compile(r"(?:[ \t-]*+(?:[>*+]|\d{1,9}[.)]))*+(?=[|: \t]*+-)[|: \t-]*+\r?\n?$")
_MAY_BE_BLOCK = re.compile(r" {4}|\t|```|~~~")
_PIPE, _NEXT_LINE = re.compile(r"(?<!\\)\|"), re.compile(r"[^\n]*\n[ \t>]*")
# Behind these, a backtick may be part of a tag, an address or a link, and what is quoted by it none
_TAG = re.compile(r"<[^\s<>\"'`!?][^<>\"'`]*>")
_OPEN = re.compile(r"<(?:[!?]|[^\s<>]*$|[A-Za-z][^<>]*[\"'])|\]\((?![^()\"'<>]*\))|\]\[(?![^\[\]]*\])|\]:|\\$")
_MAY_OPEN = re.compile(r"[<\]\\]")
_LONE_RETURN = re.compile(r"\r(?!\n)")
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
        self._waiting, self._at = "", 0  # what stands before is decided; cutting it off each time would copy the rest
        self._fence, self._indent = "", 0
        self._html, self._lost = "", False
        self._line, self._segment = list[str](), list[str]()
        """The line that goes on, and of it what stands behind its last code."""
        self._is_empty, self._has_code = True, False  # that line, but for spaces
        self._doubtful = self._in_table = False
        self._after_blank, self._items = True, list[int]()

    def split(self, text: str, *, last: bool = False) -> Iterator[tuple[str, bool]]:
        """Yield what is decided by now as (piece, whether it is code); with `last` all."""
        self._waiting, self._at = self._waiting[self._at :] + text, 0
        while self._at < len(self._waiting):
            end, is_code = self._end_of_code(last=last) if self._fence else self._end_of_prose(last=last)
            if end == self._at:
                return
            piece, self._at = self._waiting[self._at : end], end
            self._note(piece, is_code=is_code)
            yield piece, is_code

    # --- fenced blocks -----------------------------------------------------------------------------------------------------

    def _end_of_code(self, *, last: bool) -> tuple[int, bool]:
        end = self._waiting.find("\n", self._at) + 1
        if not end and not last:
            return self._at, True
        end = end or len(self._waiting)
        line = self._waiting[self._at : end]
        indent, body = _indent_of(line), line.strip(" \t\r\n")
        closes = len(body) >= len(self._fence) and {*body} == {self._fence[0]} and not (not self._indent and indent > 3)
        is_unclear = indent < self._indent or (closes and indent > max(3, self._indent))
        if _LONE_RETURN.search(line) or (body and is_unclear):
            self._fence, self._lost = "", True
            return end, False
        if closes:
            self._fence = ""
        return end, True

    def _opens_fence(self, sign: str, indent: int, info: str) -> bool:
        if len(sign) < _FENCE_SIGNS or (sign[0] == "`" and "`" in info) or _LONE_RETURN.search(info):
            return False
        # in each reading the lines behind an empty one are code, by the fence or by their indentation
        around = max((item for item in self._items if item <= indent), default=0)
        return self._after_blank or indent <= around + 3

    # --- prose, and code within a line -------------------------------------------------------------------------------------

    def _end_of_prose(self, *, last: bool) -> tuple[int, bool]:
        """Return where prose ends, at the latest with its line, or the code with which the waiting text begins."""
        text, at = self._waiting, self._at
        line_end = text.find("\n", at) + 1 or len(text)
        place = line_end if self._lost or self._html else at
        while sign := _SIGN.search(text, place, line_end):
            end = self._end_of_fence_line(sign, line_end, last=last)
            if end == 0 and sign[0][0] == "`" and not self._is_doubtful(text[at : sign.start()]):
                end = self._end_of_span(sign, line_end, last=last)
                self._doubtful = self._doubtful or end == 0
            if end == 0:
                place = sign.end()
            elif end is None or sign.start() > at:
                return sign.start(), False
            else:
                return end, True
        return line_end, False

    def _end_of_fence_line(self, sign: re.Match[str], line_end: int, *, last: bool) -> int | None:
        """Return where the line ends that opens a fence with this sign; 0: it opens none; `None`: that cannot be told yet."""
        text, before = self._waiting, self._waiting[self._at : sign.start()]
        if not self._is_empty or before.strip(" "):
            return 0
        if not last and (sign.end() == len(text) or (len(sign[0]) >= _FENCE_SIGNS and text[line_end - 1] != "\n")):
            return None
        indent = len("".join(self._line)) + len(before)
        if not self._opens_fence(sign[0], indent, text[sign.end() : line_end]):
            return 0
        if not before:
            self._fence, self._indent = sign[0], indent
        return line_end

    def _is_doubtful(self, before: str) -> bool:
        """Whether a backtick behind `before` may be something else than the beginning of code."""
        if not self._doubtful:
            segment = "".join(self._segment) + before
            if not self._has_code:
                self._note_html(segment)
            self._lost = self._lost or _LONE_RETURN.search(segment) is not None
            opens = _MAY_OPEN.search(segment) and _OPEN.search(_TAG.sub("", segment))
            self._doubtful = bool(self._lost or self._html or opens)
        return self._doubtful

    def _end_of_span(self, sign: re.Match[str], line_end: int, *, last: bool) -> int | None:
        """Return where code ends that begins with these backticks; 0: they are text; `None`: that cannot be told yet."""
        text, longest = self._waiting, min(line_end, sign.start() + _LONGEST_SPAN)
        if sign.end() == len(text) and not last:  # it may go on
            return None
        decided = last or longest < len(text) or text[line_end - 1] == "\n"
        runs = _TICKS.finditer(text, sign.end(), longest)
        closing = next((run for run in runs if len(run[0]) == len(sign[0]) and (last or run.end() < len(text))), None)
        if closing is None:
            return 0 if decided else None
        span = text[sign.start() : closing.end()]
        if _LONE_RETURN.search(span):
            return 0
        return self._end_in_table(closing.end(), last=last) if _PIPE.search(span) else closing.end()

    def _end_in_table(self, end: int, *, last: bool) -> int | None:
        """Return the end of code with a pipe, by which a row of a table would be parted into cells; as `_end_of_span`."""
        following = _NEXT_LINE.match(self._waiting, end)
        if self._in_table:
            return 0
        if following is None or following.end() == len(self._waiting):
            return end if last else None
        return 0 if self._waiting[following.end()] in "|:-" else end

    # --- lines ----------------------------------------------------------------------------------------------------------------

    def _note(self, piece: str, *, is_code: bool) -> None:
        if is_code and (piece.endswith("\n") or self._fence):
            self._begin_line()
            self._after_blank = False
            if not self._indent:  # such a block ends whatever stands before it
                self._doubtful, self._in_table, self._items = False, False, []
        elif is_code:
            self._line.append("`")
            self._segment, self._is_empty, self._has_code = [], False, True
        else:
            self._line.append(piece)
            self._segment.append(piece)
            self._is_empty = self._is_empty and not piece.strip(" ")
            if piece.endswith("\n"):
                self._end_line("".join(self._line))

    def _begin_line(self) -> None:
        self._line, self._segment, self._is_empty, self._has_code = [], [], True, False

    def _end_line(self, line: str) -> None:
        if line.strip(" \t\r\n"):
            self._is_doubtful("")
            self._lost = self._lost or ("\r" in line and _LONE_RETURN.search(line) is not None)
            if not line[0].isalpha():
                self._note_html(line)
                self._in_table = self._in_table or _DELIMITERS.match(line) is not None
                self._lost = self._lost or _OTHER_FENCE.match(line) is not None
            self._note_item(line)
            self._after_blank = False
        else:
            self._doubtful, self._in_table, self._after_blank = False, False, True
            self._html = "" if self._html == "to an empty line" else self._html
        self._begin_line()

    def _note_html(self, line: str) -> None:
        if _HTML_TO_THE_END.match(line):
            self._html = "to the end"
        elif _HTML.match(line):
            self._html = self._html or "to an empty line"

    def _note_item(self, line: str) -> None:
        """Keep how far the items of lists are indented that this line stands in."""
        if line[0].isalpha():
            self._items = []
            return
        indent, found = _indent_of(line), _ITEM.match(line)
        inside = [item for item in self._items if item <= indent]
        closes = len(inside) < len(self._items)
        self._items = inside
        if not found or len(found["indent"]) > (inside[-1] if inside else 0) + 3:
            return
        # another number begins no list within a paragraph
        if found["number"] in (None, "1") or closes or self._after_blank:
            self._items = [*inside, found.end()]


def _indent_of(line: str) -> int:
    return len(line[: len(line) - len(line.lstrip(" \t"))].expandtabs(4))


def code_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of fenced blocks and of code within a line, in order."""
    end = 0
    for piece, is_code in CodeSplitter().split(text, last=True):
        if is_code:
            yield end, end + len(piece)
        end += len(piece)


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """Return the text with `change` applied to what is no code.

    >>> outside_code("a `b` c", str.upper)
    'A `b` C'
    """
    return "".join(piece if is_code else change(piece) for piece, is_code in CodeSplitter().split(text, last=True))


def blank_code(text: str) -> str:
    """Return the text, of the same length, with spaces in place of code, formulas and addresses."""
    blank = list(text)
    for start, end in (*code_spans(text), *_blocks_of_code(text)):
        blank[start:end] = [sign if sign == "\n" else " " for sign in text[start:end]]
    prose = "".join(blank)
    for pattern in (_FORMULA, _ADDRESS):
        prose = pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), prose)
    return prose


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
