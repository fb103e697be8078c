"""What of a Markdown text is prose: code, formulas and addresses are left as they are by whatever checks or neutralises words."""

import re
from collections.abc import Callable, Iterator

_CODE_SIGN = re.compile(r"`+|~+")
_TICKS, _LINES = re.compile(r"`+"), re.compile(r"[^\n]*+\n|[^\n]++")
_PARAGRAPH_END = re.compile(r"\n[ \t]*\n")
# A line that begins a block of HTML, in which backticks are no code; the second kind goes on after an empty line
_HTML = re.compile(r" {0,3}<[A-Za-z/!?]")
_HTML_TO_THE_END = re.compile(r" {0,3}<(?:pre|script|style|textarea|[!?])", re.IGNORECASE)
_FENCE_SIGNS, _LONGEST_SPAN, _BEGINNING = 3, 1000, 20
_FORMULA = re.compile(
    r"\$\$[^$]{1,1000}\$\$|\\\[(?s:.{1,500}?)\\\]|\\\((?s:.{1,500}?)\\\)|(?<![\\$\w])\$(?=[^\s$])[^$\n]{0,200}(?<=[^\s\\])\$(?![\d$])"
)
_ADDRESS = re.compile(
    r"\]\([^()\s]{0,2000}|<?\b[a-z][a-z0-9+.-]{1,20}://[^\s<>|)]{0,2000}|\bwww\.[^\s<>|)]{1,2000}", re.IGNORECASE
)


class CodeSplitter:
    """Splits Markdown that comes in pieces into prose and code: fenced blocks, and code within a line. What cannot be told yet waits.

    It errs towards prose: a fence that is indented by four spaces, backticks that nothing closes and all in a block of HTML are prose.
    """

    def __init__(self) -> None:
        self._waiting, self._fence, self._line, self._html = "", "", "", ""
        self._at = 0  # what stands before is decided; cutting it off each time would copy the rest

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

    def _note(self, piece: str, *, is_code: bool) -> None:
        """Keep the line that goes on, and whether a block of HTML does."""
        *lines, line = (self._line + piece).split("\n")
        self._line = line[:_BEGINNING]
        if is_code:
            return
        for line in lines:
            self._note_html(line)
            if self._html == "to an empty line" and not line.strip():
                self._html = ""
        self._note_html(self._line)

    def _note_html(self, line: str) -> None:
        if _HTML_TO_THE_END.match(line):
            self._html = "to the end"
        elif _HTML.match(line):
            self._html = self._html or "to an empty line"

    def _end_of_code(self, *, last: bool) -> tuple[int, bool]:
        place = self._at
        for line in (found[0] for found in _LINES.finditer(self._waiting, place)):
            if not (last or line.endswith("\n")):
                break
            place += len(line)
            signs = line.strip()
            if len(signs) >= len(self._fence) and {*signs} == {self._fence[0]} and not line.startswith("    "):
                self._fence = ""
                break
        return place, True

    def _end_of_prose(self, *, last: bool) -> tuple[int, bool]:
        """Return where prose ends, or the code with which the waiting text begins."""
        text, at = self._waiting, self._at
        start = at
        if self._html:
            return text.find("\n", at) + 1 or len(text), False  # each line may end the block
        while sign := _CODE_SIGN.search(text, start):
            line_begins = self._begins_line(sign.start())
            if sign.start() > at and (line_begins or sign[0][0] == "`"):
                end = self._end_of_span(sign, last=last)
                if line_begins or end != 0:
                    return sign.start(), False
            elif line_begins and (len(sign[0]) >= _FENCE_SIGNS or (sign.end() == len(text) and not last)):
                if not last and "\n" not in text[at:]:
                    return at, False
                self._fence = sign[0] if len(sign[0]) >= _FENCE_SIGNS else ""
                if self._fence:
                    return text.find("\n", at) + 1 or len(text), True
            elif sign[0][0] == "`" and (end := self._end_of_span(sign, last=last)) != 0:
                return (at, False) if end is None else (end, True)
            start = sign.end()
        return len(text), False

    def _begins_line(self, place: int) -> bool:
        least = max(self._at, place - 4)
        newline = self._waiting.rfind("\n", least, place)
        before = self._waiting[max(newline + 1, least) : place]
        if newline < 0 and least == self._at:
            before = self._line + before
        return len(before) <= 3 and not before.strip(" ")

    def _end_of_span(self, sign: re.Match[str], *, last: bool) -> int | None:
        """Return where code within a line ends that begins with these backticks; 0: they are text; `None`: that cannot be told yet."""
        text = self._waiting
        if sign.end() == len(text) and not last:  # it may go on
            return None
        longest = sign.start() + _LONGEST_SPAN
        paragraph = _PARAGRAPH_END.search(text, sign.end(), longest)
        decided = last or paragraph is not None
        runs = _TICKS.finditer(text, sign.end(), paragraph.start() if paragraph else longest)
        same = (run for run in runs if len(run[0]) == len(sign[0]) and (decided or run.end() < len(text)))
        if closing := next(same, None):
            return closing.end()
        return 0 if decided or len(text) > longest else None


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
    for start, end in code_spans(text):
        blank[start:end] = [sign if sign == "\n" else " " for sign in text[start:end]]
    prose = "".join(blank)
    for pattern in (_FORMULA, _ADDRESS):
        prose = pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), prose)
    return prose
