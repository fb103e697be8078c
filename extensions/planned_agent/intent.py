"""Intent: the clauses of a text that ask for something to be done now, on the speaker's own behalf. No model is used.

An embedder sees the subject of a sentence and little else: "Please do not refund it", "Was it refunded?" and "They said
that you should refund it" are all near to "Please refund it". So a text is cut into clauses, and a clause asks unless
it is one of these:

negated      a negation stands in it, but for those that ask ("don't forget to", "why don't you", "couldn't you")
a question   it begins as one, or ends in a question mark, and is no polite request ("could you", "please do what ...")
told         it begins with a subject, or holds a finite "was", "is" or "has", and says no wish ("please", "I want", "must")
reported     somebody said it, it is to be written or translated, or it follows the colon of such a clause ("The mail reads:"),
             to the end of the line, or of the text where the line ends with the colon
supposed     it begins with "suppose", "imagine", "let's say", and so does not hold; nor does the rest of the sentence
not now      its sentence waits for the speaker's confirmation ("once I confirm"), or it asks to wait
subordinate  what follows "whether", "because", "that ... was"; and what stands in quotation marks
to know      it asks to be told, shown or explained something

The lists are English. In other languages a negation and a question mark are seen; the rest is left to the embedder.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from foundation.text.sentences import sentence_spans

_SUBJECT = r"(?:i|you|he|she|it|we|they|the|an?|my|our|your|his|her|its|their|this|these|those|there|some\w*|any(?:one|body)|every\w*)"
_FINITE = r"(?:is|are|was|were|has|had|did|does|been|isnt|wasnt|hasnt|doesnt|didnt)"
_JOIN = r"(?:and|or|nor)"
_SUBORDINATE = (
    r"(?:whether|wh\w+ever|because|since|unless|until|while|although|though|who|whom|whose|what|which|when|where|why|how"
    rf"|if(?!\s+you\s+(?:can|could|would|might)\b)|as(?=\s+{_SUBJECT}\b)"
    rf"|that(?=[^.!?;]{{0,200}}?\s(?:{_FINITE}|will|would|can|could|should|must|\w+n['’]t|not|never|\w+ed)\b))"
)
_CUT = re.compile(  # a run of blanks is looked at once, from its beginning
    rf"(?P<mark>[,;:]|\s[–—-](?=\s))|(?<!\s)\s++(?=(?:(?P<join>{_JOIN})|but|so|then|{_SUBORDINATE})\s)"
    rf"|(?<!\s)\s++(?=(?:it|they|this)\s(?:\w+\s)?(?:{_FINITE}|\w+n['’]?t|never|not|\w+ed)\b)",
    re.IGNORECASE,
)
_LEADS = re.compile(
    r"(?:\W*\b(?:please|pls|plz|kindly|hi|hello|hey|ok|okay|well|so|and|or|but|then|also|now|just|yes|yeah|no|thanks|sorry"
    r"|instead|first|finally|next|actually)\b(?!['’]))*+\W*",
    re.IGNORECASE,
)
_SUBORDINATED = re.compile(rf"\W*{_SUBORDINATE}\s", re.IGNORECASE)
_POLITE = re.compile(
    r"(?:can|could|may)(?:n['’]?t)?\b|(?:will|would)(?:n['’]?t)?\s+(?:you\b|it\s+be\s+possible\b)|do\s+you\s+mind\b"
    r"|is\s+it\s+possible\b|are\s+you\s+able\b|is\s+there\s+an?y?\s+(?:way|chance)\b|any\s+chance\b"
    r"|why\s+(?:not|(?:do|ca|wo)n['’]?t\s+(?:you|we))\b|how\s+about\b|if\s+you\b",
    re.IGNORECASE,
)
_BEGINS_QUESTION = re.compile(
    r"(?:who|whom|whose|what|which|when|where|why|how|do(?:n['’]?t(?=\s+(?:i|you|we|they)\b)|(?!\s+not\b|n))|(?:did|does|has|have|had|is|are|am|was|were|should|shall|must|might"
    r"|can|could|will|would|may)(?:n['’]?t)?(?!\s+not\b))\b",
    re.IGNORECASE,
)
# An order although it begins with "do", unlike "please, do they pay"
_PLEASE_DO = re.compile(
    r"\W*(?:please|pls|plz|kindly)\s+do(?:\s+(?:it|so|all|everything|the|this|that|these|those|my|our|your)\b[^?]*)?\s*$",
    re.IGNORECASE,
)
_SPREADS = re.compile(r"(?:who|did|do|does|has|have|had|is|are|was|were)\b", re.IGNORECASE)
_DOUBLE = re.compile(
    r"\b(?:do\s+not|don['’]?t|never)\s+(?:forget|hesitate|wait|delay)\b|\bnot\s+only\b|\bno\s+(?:later|matter|problem)\b",
    re.IGNORECASE,
)
_NEGATION = re.compile(
    r"\b(?:not|never|no|none|nothing|nobody|neither|nor|without|cannot|refrain|instead\s+of|rather\s+than"
    r"|\w+n['’]t|(?:do|does|did|is|was|has|have|wo|ca|could|would|should)nt"
    r"|nicht|nie|niemals|kein\w*|pas|jamais|nunca|jamás|não|non|niet|nooit|geen|inte|ikke)\b",
    re.IGNORECASE,
)
_TOLD = re.compile(rf"{_SUBJECT}\b|\w*[^\We]ed\b|[^,]*?\b{_FINITE}\b", re.IGNORECASE)
_REPORTS = re.compile(
    r"\b(?:said|says|told|tells|asked|asks|wrote|writes|claim(?:s|ed)|demand(?:s|ed)|requested|promised|heard|thought"
    r"|reads|state[sd]|mention(?:s|ed)|instruct(?:s|ed)|suggest(?:s|ed)"
    r"|\w+s\s+(?:state|say|read|tell|ask|write|mention|instruct|suggest))\b",
    re.IGNORECASE,
)
_TEXT = (
    r"(?:e-?mails?|mails?|messages?|letters?|texts?|sentences?|instructions?|posts?|reviews?|comments?|quotes?|pages?"
    r"|documents?|paragraphs?|prompts?|scripts?|transcripts?)"
)
# The end of a clause whose colon introduces somebody else's text: "Summarise the mail from Ann:"
_OF_A_TEXT = re.compile(
    rf"\b(?:this|that|these|the|an?|our|their|his|her|following)\s+(?:\S+\s+){{0,2}}{_TEXT}(?:\s+\w+){{0,3}}\s*$",
    re.IGNORECASE,
)
_TO_YOU = r"(?:[^.!?]{0,40}?\b(?:you|me|us)\s+(?:(?:please|kindly|just|to|mind)\s+)*)?"
# First words of a clause that make the rest no request
_REPORT = re.compile(
    rf"{_TO_YOU}(?P<verb>(?:translat|summari[sz]|paraphras|rephras|compos|transcrib|quot|analy[sz])(?:e|ing)|writ(?:e|ing)"
    rf"|(?:draft|reword|proofread|repeat|read|say)(?:ing)?"
    rf"|(?:create|make|generate|prepare)(?=\s+(?:(?:me|us)\s+)?an?\s+(?:\w+\s+)?{_TEXT}\b))\b",
    re.IGNORECASE,
)
_SUPPOSED = re.compile(
    rf"{_TO_YOU}(?P<verb>(?:suppos|assum|imagin)(?:e|ing)|pretend(?:ing)?|hypothetical(?:ly)?|for\s+(?:example|instance)"
    r"|let(?:['’]?s|\s+us)\s+(?:say|suppose|assume|imagine|pretend)|say\s+(?:i|we|you|that))\b",
    re.IGNORECASE,
)
_PUT_OFF = re.compile(
    rf"{_TO_YOU}(?P<verb>h[eo]ld(?:ing)?\s+(?:off|back)|wait(?:ing)?(?=\s+(?:before|until|till|with|to)\b)"
    r"|(?:postpon|delay)(?:e|ing)?|put(?:ting)?\s+off)\b",
    re.IGNORECASE,
)
# Words by which a sentence waits for a later confirmation
_NOT_NOW = re.compile(
    r"\b(?:if|after|until|till|once|when|whenever|unless|as\s+soon\s+as|provided(?:\s+that)?)\s+(?:i|we|my\s+\w+)\s+"
    r"(?:(?:\w+ly|first|then|do)\s+)?"
    r"(?:(?:have|has)\s+(?:\w+ly\s+)?(?:confirmed|approved|agreed|authori[sz]ed|decided|consented|said\s+so)"
    r"|(?:confirm|approve|agree|authori[sz]e|decide|consent)s?|says?\s+(?:so|yes|ok|okay|go|it)"
    r"|tells?\s+you|lets?\s+you|gives?\s+(?:you|the|my)|asks?\s+you)\b"
    r"|\b(?:after|upon|pending|until|subject\s+to)\s+(?:my|our)\s+(?:\w+\s+)?"
    r"(?:confirmation|approval|consent|ok|okay|go|word|decision|signal)\b"
    r"|\bhypothetical(?:ly)?\b",
    re.IGNORECASE,
)
_WISH = re.compile(
    r"\b(?:please|pls|plz|kindly|must|should|ought|needs?|ha(?:s|ve)\s+to)\b"
    r"|\b(?:i|we)\b.{0,30}?\b(?:want|like|love|wish|hope|request|require|demand|ask|asking|appreciate|grateful|insist|expect)\b",
    re.IGNORECASE,
)
_UNREAL = re.compile(r"\b(?:should|would|could|must)\s+have\b", re.IGNORECASE)
_TO_KNOW = re.compile(
    r"\b(?:tell\s+me|let\s+me\s+know|show\s+me|explain|wonder\w*|curious|(?:to|can|could)\s+(?:know|understand|find\s+out|check)"
    r"|(?:you|please)\s+(?:check|find\s+out))\b",
    re.IGNORECASE,
)
# An unclosed quotation runs to the end of the text: searching for its end at each mark is quadratic.
_QUOTED = re.compile(r"“[^”]*(?:”|\Z)|„[^“”\"]*(?:[“”\"]|\Z)|«[^»]*(?:»|\Z)|»[^«»]*«|\"[^\"]*\"")
# Words that begin a new request, whatever the clause before it is
_ANEW = re.compile(r"\b(?:please|instead|i|we)\b", re.IGNORECASE)
# Verbs that ask for the contrary of what follows, unless a tool serves that verb
_REVERSES = re.compile(r"\b(?:stop|cancel|undo|revoke|withdraw|avoid|refuse|decline|reject|deny|forget|ignore)")


@dataclass(frozen=True, slots=True)
class Clause:
    start: int
    end: int
    asks: bool
    question: bool
    refused: bool = False
    """Whether it has the form of a request but is negated, reported, supposed, or not for now."""


def classify_clauses(text: str, own: Collection[str] = ()) -> list[Clause]:
    """Return the clauses of a text in order, classified. `own` are the verbs of tools (`verbs`): "write" is a request
    where a tool writes mails.

    >>> text = "Please do not refund it, but open a ticket. Was it sent?"
    >>> [(text[one.start : one.end].strip(" ,."), one.asks, one.question) for one in classify_clauses(text)]
    [('Please do not refund it', False, False), ('but open a ticket', True, False), ('Was it sent?', False, True)]
    """
    plain = _QUOTED.sub(lambda quoted: " " * len(quoted.group()), text)
    parts: list[Clause] = []
    until = 0  # end of somebody else's reported words
    for start, end in sentence_spans(plain):
        for clause, introduces in _of_sentence(plain, start, end, own):
            reported = clause.start < until
            parts.append(replace(clause, asks=False, refused=clause.asks or clause.refused) if reported else clause)
            if introduces and not reported:
                until = _end_of_report(plain, clause.end)
    return parts


def verbs(examples: Iterable[str]) -> frozenset[str]:
    """Return the first words of requests, in lower case.

    >>> verbs(["Please write a mail to Ann"])
    frozenset({'write'})
    """
    return frozenset(words[0].casefold() for example in examples if (words := re.findall(r"[\w'’-]+", _body(example))))


def reverses(text: str, own: Collection[str]) -> bool:
    """Whether the text asks for the contrary of a tool with the words `own`.

    >>> reverses("Cancel my order", ["Refund my order"]), reverses("Cancel my order", ["Please cancel order A-1"])
    (True, False)
    """
    folded, own_words = text.casefold(), " ".join(own).casefold()
    return any(verb not in own_words for verb in _REVERSES.findall(folded)) and not _DOUBLE.search(folded)


def _of_sentence(text: str, start: int, end: int, own: Collection[str]) -> Iterator[tuple[Clause, bool]]:
    """Yield the clauses of a sentence, each with whether the colon behind it introduces somebody else's words."""
    polite, spread, waits = False, "", _NOT_NOW.search(text, start, end) is not None
    for a, b, joint in _cuts(text, start, end):
        clause = text[a:b]
        kind = _kind(clause, last=b == end, polite=polite, own=own)
        if kind == "asks" and (
            waits or spread == "supposed" or (spread and joint == "and" and not _ANEW.search(clause))
        ):
            kind = spread or "negated"
        if kind != "subordinate" and spread != "supposed":
            spread = kind if _spreads(clause, kind) else ""
        polite = polite or _POLITE.match(_body(clause)) is not None
        introduces = text[b : b + 1] == ":" and _introduces(clause, kind)
        yield Clause(a, b, kind == "asks", kind == "question", kind in ("negated", "report", "supposed")), introduces


def _introduces(clause: str, kind: str) -> bool:
    if kind in ("subordinate", "negated"):
        return False
    return kind in ("report", "supposed") or bool(_REPORTS.search(clause) or _OF_A_TEXT.search(clause[-200:]))


def _end_of_report(text: str, colon: int) -> int:
    """Return the end of what a colon introduces: the end of its line, or of the text if the line ends there."""
    end = text.find("\n", colon)
    return len(text) if end < 0 or not text[colon + 1 : end].strip() else end


def _cuts(text: str, start: int, end: int) -> Iterator[tuple[int, int, str]]:
    """Yield the spans of clauses, each with its joint to the one before: "and", a mark such as ":", or empty."""
    joint = ""
    for cut in _CUT.finditer(text, start, end):
        if not cut["mark"] and " " not in text[start : cut.start()].strip():
            continue
        if cut.start() > start:
            yield start, cut.start(), joint
        start, joint = cut.end(), "and" if cut["join"] else cut["mark"] or ""
    if start < end:
        yield start, end, joint


def _body(clause: str) -> str:
    return clause[_LEADS.match(clause).end() :]  # type: ignore[union-attr]  # it matches nothing at least


def _kind(clause: str, *, last: bool, polite: bool, own: Collection[str]) -> str:
    """Return the kind of a clause: asks, question, negated, report, supposed, subordinate, or told."""
    body = _body(clause)
    if head := _head(body, own):
        return head
    if opening := _POLITE.match(body):
        return _of_request(clause, body[opening.end() :])
    asks = _BEGINS_QUESTION.match(body) and not _PLEASE_DO.match(clause)
    if asks or (last and not polite and clause.rstrip().endswith("?")):
        return "question"
    if _SUBORDINATED.match(clause):
        return "subordinate"
    kind = _of_request(clause, clause)
    if kind in ("asks", "negated") and _TOLD.match(body):
        if _REPORTS.search(body):
            kind = "report" if kind == "asks" else kind
        elif not _WISH.search(clause):
            kind = "told"
    return kind


def _head(body: str, own: Collection[str]) -> str:
    if not re.search(r"\w", body):  # nothing, or nothing but what was quoted
        return "told"
    heads = (("supposed", _SUPPOSED.match(body)), ("report", _REPORT.match(body)), ("negated", _PUT_OFF.match(body)))
    return next((kind for kind, head in heads if head and head["verb"].split()[0].casefold() not in own), "")


def _of_request(clause: str, rest: str) -> str:
    """Return the kind of a clause in the form of a request; negations count in `rest` only."""
    if _NEGATION.search(_DOUBLE.sub(" ", rest)):
        return "negated"
    if _TO_KNOW.search(clause):
        return "question"
    return "told" if _UNREAL.search(clause) else "asks"


def _spreads(clause: str, kind: str) -> bool:
    """Whether a clause joined to this one by "and" is of the same kind: "Do not refund it and close the ticket"."""
    body = _body(clause)
    if kind == "negated":
        return not _TOLD.match(body) or _WISH.search(clause) is not None
    return kind in ("report", "supposed") or (kind == "question" and _SPREADS.match(body) is not None)
