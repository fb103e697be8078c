# ruff: noqa: RUF001 - phrases of many scripts are the subject
"""Claims of a Markdown answer: the sentences, list items and table rows that state something, with their spans.

markdown-it finds the blocks; their content is read line by line, so that spans refer to the answer as written.
Headings, code, questions, greetings, offers, introductions of lists and "the documents do not say" are no claims.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

from foundation.text.lexical import words
from foundation.text.sentences import sentence_spans, trim_span

_MARKER = r"\[\^?\d{1,3}(?:\s?[,;\u2013-]\s?\^?\d{1,3})*\](?!\()|\u3010\d{1,3}(?:[,\uff0c\u3001]\s?\d{1,3})*\u3011"
MARKER = re.compile(_MARKER)
_MARKERS_FIRST = re.compile(rf"(?:\s*(?:{_MARKER}))+(?:[ \t]*[.\u3002])?")
_NUMBER = re.compile(r"(\d+)(?:\s?[\u2013-]\s?\^?(\d+))?")
# A list number without its item
_LEFT_OVER = re.compile(r"\(?\d{1,2}[.)]")
_MOST_IN_RANGE = 20

_LIST_SIGN = re.compile(r"[\s>]*(?:(?:[-*+\u2022\u2023\u25e6]|\(?\d{1,3}[.)])\s+)?(?:\[[ xX]\]\s+)?")
_NUMBERED_INLINE = re.compile(r"(?:(?<=[\s:;,.])|^)\(?(\d{1,2})[.)]\s+(?=\S)")
_LINK = re.compile(r"!?\[([^\[\]\n]{0,400})\]\([^()\s]{0,2000}(?:\s+\"[^\"\n]{0,200}\")?\)")
_SIGNS = re.compile(r"\*{1,3}|(?<!\w)_{1,3}|_{1,3}(?!\w)|~~|`+|</?[A-Za-z][^<>\n]{0,200}>|\\(?=[^\w\s])")
_CELL_BORDER = re.compile(r"(?:(?<!\s)\s++)?(?<!\\)\|\s*")
_SPACES = re.compile(r"\s+")
# Characters from which a line may end because it is full, with its sentence going on in the next
_WIDE_LINE = 60

_INTRODUCES = (":", "\uff1a")
_ASKS = ("?", "\uff1f", "\u061f")
_CLOSING = " \t*_~`\"')\u201d\u201c\u00bb\u300d"

_POLITE = re.compile(
    r"""\W*(?:
    (?:hi|hello|hey|dear\ \w+|good\ (?:morning|afternoon|evening|day)|welcome)\b[^.]{0,40}[.!]*$
    |(?:thank\ you|thanks|you(?:'|’)re\ welcome|you\ are\ welcome|(?:i(?:'|’)m|i\ am)?\ ?(?:so\ |very\ )?(?:sorry|happy|glad)\b
       |my\ apologies|i\ apologi[sz]e|great\ question|good\ question|sure|certainly|of\ course|absolutely)\b[^,.:]{0,60}[.!]*$
    |(?:please\ )?(?:let\ me\ know|feel\ free|don(?:'|’)t\ hesitate|do\ not\ hesitate)\b
    |(?:if|should|in\ case)\ you\b.{0,120}\b(?:let\ me\ know|feel\ free|(?:just|please|you\ can|you\ may)\ ask|i\ can\b|i(?:'|’)d\ be|i(?:'|’)ll
       |i\ (?:would|will)\ be|i(?:'|’)m\ here|hesitate)
    |(?:i|we)\ (?:hope|can\ (?:also\ )?(?:help|check|look)|could\ (?:also\ )?(?:help|check|look)|would\ be\ happy|will\ be\ happy|am\ happy)
    |i(?:'|’)(?:d|ll|m)\ (?:be\ )?(?:happy|glad|here)
    |hope\ (?:this|that)\ helps|would\ you\ like|do\ you\ want|is\ there\ anything|here(?:'|’)s\ (?:what|an?\ \w+\ (?:of|summary))
    |hallo\b|guten\ (?:tag|morgen|abend)|gerne?\b.{0,30}$|lass(?:en\ sie)?\ (?:es\ )?mich\ wissen|sag(?:en\ sie)?\ (?:mir|bescheid)|melden\ sie\ sich
    |(?:wenn|falls)\ (?:sie|du)\b.{0,100}\b(?:helfe\ ich|kann\ ich|sagen\ sie|sag\ |lass|melde)
    |hola\b|gracias\b|av[ií]s[ae]me|h[aá]gamelo?\ saber|no\ dudes?\ en|si\ (?:necesitas|necesita|tienes|tiene|quieres|desea)\b.{0,100}\b(?:puedo|av[ií]s|dime|d[ií]game|duden?)
    |здравствуйте|привет\b|спасибо\b|дайте\ (?:мне\ )?знать|обращайтесь|если\ (?:у\ вас|вам|вы)\b.{0,100}(?:дайте\ знать|обращайтесь|сообщите|могу)
    |您好|你好|谢谢|如果您?你?(?:需要|有).{0,40}(?:告诉我|联系|随时|请)|请(?:随时)?告诉我
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_SAYS = (
    r"(?:say|state|mention|specif|contain|provid|includ|cover|give|indicat|address|describ|explain|list|discuss|answer|"
    r"confirm|detail|refer|tell|offer|show|have|clarif|elaborate|support|disclos|name)"
)
_SOURCES = (
    r"(?:documents?|passages?|sources?|contexts?|texts?|information|excerpts?|pages?|articles?|materials?|snippets?|"
    r"documentation|results?|records?|search|knowledge\ base)"
)
_UNANSWERED = re.compile(
    rf"""
    \b{_SOURCES}\b[^.;]{{0,60}}?\b(?:do|does|did)(?:\ not|n(?:'|’)t)\ (?:\w+\ ){{0,2}}?{_SAYS}
    |\bnone\ of\ (?:the|these|my)\ (?:\w+\ ){{0,2}}{_SOURCES}
    |\bnot\ (?:\w+\ )?(?:mentioned|specified|stated|provided|covered|given|included|described|found|available|addressed|discussed|listed)
       \ (?:in|by|within)\ (?:the|these|any|my|this)\ (?:\w+\ ){{0,2}}{_SOURCES}
    |\bi\ (?:could|can|was|am|did|do)(?:\ ?not|n(?:'|’)t|\ unable\ to|\ not\ able\ to)\ (?:\w+\ ){{0,2}}?(?:find|found|locate|answer|determine|have|know|see|access|confirm|tell)\b
    |\bi\ (?:have|had|found|see)\ (?:no|nothing)\b
    |\bthere\ (?:is|was|are)\ no(?:t\ (?:enough|any|sufficient))?\ (?:\w+\ ){{0,2}}(?:information|mention|details?|evidence|data|answer|reference)
    |\bno\ (?:\w+\ ){{0,2}}(?:information|mention|details?|reference)\ (?:\w+\ ){{0,3}}(?:is|was|are|were|about|on|regarding|provided|available|found|given)\b
    |\b(?:outside|beyond)\ (?:of\ )?(?:the\ scope|my\ (?:knowledge|documents))
    |\b(?:dokument|unterlage|quelle|text|passage|abschnitt|auszüge)\w*\b[^.;]{{0,80}}\b(?:nichts?|keine?[nr]?)\b
    |\b(?:steht|finde[nt]?|fand)\b[^.;]{{0,40}}\b(?:nichts|nicht)\b[^.;]{{0,40}}\b(?:dokument|unterlage|quelle|text|passage)
    |\bich\ (?:konnte|kann|habe)\b[^.;]{{0,80}}\b(?:nichts?|keine?[nr]?)\b[^.;]{{0,80}}\b(?:finden|gefunden|beantworten|sagen|angaben?|informationen?)
    |\b(?:ich\ weiß\ (?:es\ )?nicht|keine\ (?:angaben?|informationen?|hinweise?)\b)
    |\b(?:documentos?|pasajes?|textos?|fuentes?)\b[^.;]{{0,40}}\bno\ (?:\w+\ )?(?:dicen?|mencionan?|indican?|especifican?|contienen?|incluyen?|proporcionan?|responden?)
    |\bno\ (?:he\ |pude\ |puedo\ )?(?:encontr\w+|hay\ (?:informaci[oó]n|datos|menci[oó]n)|dispongo\ de|lo\ sé|se\ (?:menciona|indica|especifica))
    |(?:документ|источник|текст|отрыв|материал)\w{{0,30}}\b[^.;]{{0,40}}\bне\ (?:сообща|указ|содерж|упомин|говор|сказано|описыва)
    |\b(?:нет\ (?:информации|данных|сведений|упоминани)|не\ (?:удалось|могу|смог\w?)\ (?:найти|ответить)|не\ наш[её]л|не\ знаю)
    |(?:文档|文件|资料|段落|文中|文本|材料|来源)[^。]{{0,16}}(?:没有|未|并未)(?:明确)?(?:提到|提及|说明|提供|包含|给出|说|指出|回答)
    |没有(?:找到|相关|提供)[^。]{{0,10}}(?:信息|资料|内容|答案)|无法(?:找到|回答|确定)|未找到|我不知道
    """,
    re.IGNORECASE | re.VERBOSE,
)  # fmt: skip
_GOES_ON = re.compile(
    r"\b(?:but|however|although|though|aber|jedoch|pero|sin embargo|aunque|но|однако|хотя)\b|但|不过", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Statement:
    """A claim: its span in the answer, its plain text, and the passage numbers that it cites. `inherited` are those of its
    paragraph, list item or row, else of the sentence that introduces it, for one without its own.
    """

    start: int
    end: int
    text: str
    markers: tuple[int, ...]
    inherited: tuple[int, ...] = ()


def split_statements(answer: str) -> list[Statement]:
    """Return the claims of `answer` in order, without overlap. Linear in the length of the answer."""
    line_starts = [0]
    for line in answer.split("\n"):
        line_starts.append(line_starts[-1] + len(line) + 1)
    statements: list[Statement] = []
    introduced_by: tuple[int, ...] = ()
    for spans, inside in _blocks(answer, line_starts):
        own = [
            Statement(start, end, plain_text(answer[start:end]), _cited_numbers(answer[start:end]))
            for start, end in spans
        ]
        cited = tuple(dict.fromkeys(number for statement in own for number in statement.markers))
        if not inside:
            introduced_by = ()
        inherited = cited or introduced_by
        statements += [
            statement if statement.markers else replace(statement, inherited=inherited)
            for statement in own
            if _is_claim(statement.text) and not (len(own) > 1 and _LEFT_OVER.fullmatch(statement.text))
        ]
        if own and own[-1].text.endswith(_INTRODUCES):
            introduced_by = own[-1].markers
    return statements


@cache
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table").disable(["inline", "code", "reference"])


def _blocks(answer: str, line_starts: Sequence[int]) -> Iterator[tuple[list[tuple[int, int]], bool]]:
    """Yield for each block the spans of its sentences, and whether it is in a list or table, which the sentence
    before may introduce. A line that the parser returns twice, such as a table row for each cell, is read once.
    """
    depth = heading = head = read_to = 0
    normalised = answer.replace("\r", " ").replace("\0", " ").replace("\x0b", " ").replace("\x0c", " ")
    for token in _markdown().parse(normalised):
        depth += _change(token, "bullet_list", "ordered_list", "table")
        heading += _change(token, "heading")
        head += _change(token, "thead")
        if token.type != "inline" or heading or token.map is None or token.map[0] < read_to:
            continue
        first, read_to = token.map
        if head or first >= len(line_starts) - 1:
            continue
        start, end = line_starts[first], min(line_starts[min(read_to, len(line_starts) - 1)], len(answer))
        yield list(_sentences(answer, start, end)), depth > 0


def _change(token: Token, *kinds: str) -> int:
    return token.nesting if token.type.removesuffix("_open").removesuffix("_close") in kinds else 0


def _sentences(answer: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the spans of a block's sentences, without its list sign. Markers after a full stop belong to the
    sentence before. A table row is one sentence.
    """
    sign = _LIST_SIGN.match(answer, start, end)
    start = sign.end() if sign else start
    text = answer[start:end]
    if text.lstrip().startswith("|"):
        yield trim_span(answer, start, end)
        return
    joined = _join_lines(text)
    begin = end = 0
    for first, last in sentence_spans(_blank_numbering(joined)):
        moved = _MARKERS_FIRST.match(joined, first, last) if end else None
        if end:
            yield start + begin, start + (moved.end() if moved else end)
        begin, end = trim_span(joined, moved.end() if moved else first, last)
        if begin >= end:
            begin = end = 0
    if end:
        yield start + begin, start + end


def _join_lines(text: str) -> str:
    """Replace line ends inside sentences by blanks: where the next line begins in lower case, or the line is full."""
    lines = text.split("\n")
    joined = [lines[0]]
    for before, line in pairwise(lines):
        goes_on = line.lstrip()[:1].islower() or len(before) >= _WIDE_LINE
        ends = before.rstrip().endswith((".", "!", "?", ":", ";")) or not line.strip()
        joined += [" " if goes_on and not ends else "\n", line]
    return "".join(joined)


def _cited_numbers(raw: str) -> tuple[int, ...]:
    numbers: list[int] = []
    for first, last in (pair for marker in MARKER.findall(raw) for pair in _NUMBER.findall(marker)):
        begin, end = int(first), int(last or first)
        numbers += range(begin, end + 1) if begin <= end < begin + _MOST_IN_RANGE else (begin, end)
    return tuple(dict.fromkeys(numbers))


def plain_text(raw: str) -> str:
    """Return the words of a piece of Markdown, without markers, signs, list numbers and link addresses; cells of a row
    are joined by semicolons.

    >>> plain_text("- **Returns**: within [30 days](https://x.example/a) of `delivery` [1][2].")
    'Returns: within 30 days of delivery.'
    """
    text = _LINK.sub(r"\1", MARKER.sub("", raw.replace("\u00ad", "")))
    text = _SIGNS.sub("", _LIST_SIGN.sub("", text, count=1))
    if "|" in text and text.lstrip().startswith("|"):
        text = "; ".join(cell for cell in _CELL_BORDER.split(text.strip().strip("|")) if cell)
    text = re.sub(r"(?<!\s)\s++([.,;:!?\u3002\uff0c])", r"\1", _SPACES.sub(" ", _blank_numbering(text)))
    return text.strip()


def _blank_numbering(text: str) -> str:
    """Blank the numbers of a list within one line: 1. 2. 3."""
    numbers = list(_NUMBERED_INLINE.finditer(text))
    if [int(match[1]) for match in numbers[:2]] != [1, 2]:
        return text
    pieces, end, following = [], 0, 1
    for match in numbers:
        if int(match[1]) == following:
            pieces += [text[end : match.start()], " " * len(match[0])]
            end, following = match.end(), following + 1
    return "".join([*pieces, text[end:]])


def _is_claim(text: str) -> bool:
    closed = text.rstrip(_CLOSING)
    if not words(text) or closed.endswith((*_ASKS, *_INTRODUCES)) or _POLITE.match(text):
        return False
    unanswered = _UNANSWERED.search(text)
    return not unanswered or _GOES_ON.search(text) is not None
