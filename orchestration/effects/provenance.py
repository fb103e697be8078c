"""Provenance of a call's values: the person's own words, records of our own systems, or foreign text.

A model can be made to write anything, so a value counts as foreign unless it is traced. The rules and their limits:
docs/decisions/0045-an-effect-needs-approval-unless-its-arguments-are-the-persons.md.

Nothing here calls a tool, a model or a network; the executor asks and decides.
"""

import calendar
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

from langchain_core.tools import BaseTool

from foundation.text.lexical import MONTHS, SHORT_MONTHS
from orchestration.actions import Origin, Role, ToolOutcome
from orchestration.calls import metadata_of, schema_of
from orchestration.effects.trusted_records import trusted_records
from orchestration.language.guard import visible
from orchestration.language.intent import LONG_TEXT, NEGATES, WORD, requests_to
from orchestration.language.intent import verbs as verbs_of
from orchestration.language.stated_arguments import arguments_in

_STRICT = re.compile(r"[^\s\"'`<>(){}\[\],;|“”„\u2018’«»\u2039\u203a。、「」『』《》【】]+")
_WHOLE = re.compile(r"\S+")
_PLAIN = re.compile(r"[^\W\d_]+(?:[-’][^\W\d_]+)*")
# The full stop of a sentence that the next one follows without a space, which would read as an address
_UNSPACED = re.compile(r"(?<=[a-z0-9])\.(?=[A-Z][a-z])")
_LOOSE = re.compile(r"[^\W_]+")
# The host of a link and its path
_PATH = re.compile(r"((?:(?<=\.)[\w-]{1,63}|(?<=://)[^\s/?#\"<>]{1,255})(?::\d{1,5})?)([/?#][^\s\"<>]*)")
_NAMES = re.compile(r"[^\W\d_]{3,}(?=[\w.+-]*@)")
_EXCLUDES = re.compile(r"but|except\w*|exclud\w+|besides|other|outside|apart|than|unless|unlike")
_POLITE = re.compile(r"please|thanks?|hello|hi|can|could|would|will|you|find|and|then|for|me|us|it")
_HOST = r"(?:[a-z0-9-]++\.)+(?:com|net|org|info|biz|dev|app|xyz|[a-z]{2})\b"
_BEGINS = r"(?:https?://|www\.)"
# An address (the group), or a run of characters that holds none, consumed whole so that the search stays linear;
# likewise for links. Such a run leaves the group empty.
_EMAIL = re.compile(r"([\w.+-]++@[\w-]++(?:\.[\w-]++)++)|[\w.+-]++")
_LINK = re.compile(
    rf"\b(?:(https?://\S+|www\.\S+|{_HOST}(?:/\S*)?)"
    rf"|[a-z0-9-](?:(?!\b{_BEGINS})[a-z0-9-])*+(?:\.(?:(?!\b{_BEGINS})[a-z0-9-])++)*+)"
)
_NUMBER = re.compile(r"(?<![\w.,-])[$€£¥]?(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)(?!\w|[.,]?\d|\s*%)")
# A percentage, and what is added to it: "10% of it plus a fee of 5"
_SHARE = re.compile(r"(?<![\w.,-])(\d+(?:\.\d+)?)\s?%(?:[^\d.;!?%]{,80}(?:\+|\bplus\b)[^\d.;!?%]{,20}(\d+(?:\.\d+)?))?")
_EACH_LINK = re.compile(r"\b(?:all|every|each)(?: of)?(?: the)? (?:(?:web ?)?(?:site|page)|link)s?\b")
_READS = re.compile(r"\b(?:read|open|visit|summ|look|view|fetch|check|see|show|get|go|say|tell)")
_BACK = re.compile(r"\b(?:back|refund|return|repay|reimburs)")
# An address of this machine or network, which a link from outside must not reach unasked
_INSIDE = re.compile(
    r"(?:https?://)?+(?:[^\s/@]*+@)*+(?:[\d.]++|0x[\w.]++|\[.*|[^./:]++|[^\s/:]*\.(?:local|internal|localhost))\.?(?=[:/?#]|$)"
)
_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
# Mark, Mary and Julia are no months
_MONTH = (
    rf"(?=(?:{'|'.join((*MONTHS, *SHORT_MONTHS))}|sept|januar|februar|juni|juli)\b)({'|'.join(SHORT_MONTHS)})[a-z]*\.?"
)
_DAY = r"(0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_SPOKEN = re.compile(rf"\b(?:{_MONTH}\s+(?:the\s+)?{_DAY}|{_DAY}\s+(?:of\s+)?{_MONTH})\b(?:,?\s+(\d{{4}}))?")
# What has numbers that nobody would pay: days, times, and numbers in groups, such as an account's, but the last before a currency
_GROUPS = r"(?<![\w.,-])\d{2,}(?: \d{2,})+(?![\w.,]| ?(?:[$€£¥]|eur|usd|gbp|chf|dollar|pound))"
_NO_AMOUNT = re.compile(rf"{_SPOKEN.pattern}|\d+(?:[:/-]\d+)+|{_GROUPS}")
_SHORT_NUMBER = re.compile(r"\d{1,4}")
_NUMBER_NOUNS = frozenset({"id", "number", "no", "nr", "num"})
_IDENTIFIER_DIGITS = 6


def doubts(tool: BaseTool, arguments: Mapping[str, Any], origin: Origin, tools: Mapping[str, BaseTool]) -> list[str]:
    """Return why a person must approve this effect; empty where every value is traced to the caller. `tools`: all, by name."""
    verbs, own = metadata_of(tool, "asked_by", ()), verbs_of(metadata_of(tool, "examples", ()))
    asked = [*requests_to(verbs, origin.asked or origin.words, own)]
    if verbs and not asked:
        return [f"nobody asked to {verbs[0]}"]
    roles: dict[str, Role] = {name: metadata_of(tool, "arguments", {}).get(name, "target") for name in arguments}
    trim = partial(_without_defaults, schema_of(tool))
    stated, money = trim(arguments), "amount" in roles.values()
    paid = {name for name in stated if roles[name] in ("target", "amount")}
    done = (trim(it.arguments) for it in origin.results if it.tool == tool.name and it.status == "done")
    if money and any(all(_covers(stated[name], call[name]) for name in paid & call.keys()) for call in done):
        return [f"nobody asked to {verbs[0] if verbs else tool.name} twice"]
    # with another argument, something else would be done to a link than to open it
    opens = len(arguments) == 1 and (not verbs or any(_READS.match(ask) and _EACH_LINK.search(ask) for ask in asked))
    opens = opens and not any(_INSIDE.match(_fold(str(value))) for value in arguments.values())
    trace = _Trace(Words(origin.words), asked, origin, tools, metadata_of(tool, "reach", "outward") == "own", opens)
    targets = {name: value for name, value in arguments.items() if roles[name] == "target"}
    return [name for name, value in stated.items() if not trace.holds(roles[name], name, value, targets)]


def _without_defaults(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {name: field.get("default") for name, field in schema["properties"].items()}
    empty = dict.fromkeys(arguments.keys() - {*schema.get("required", ())}, "")
    return {key: value for key, value in arguments.items() if value not in (None, defaults.get(key), empty.get(key))}


def without_what_was_read(doubts: list[str], tool: BaseTool, arguments: Mapping[str, Any], origin: Origin) -> list[str]:
    """Return the doubts to show to an approver: those about values that the planner's patterns also read from the request,
    such as its only number, are left out. Such a value needs no warning; acting on it still needs an approval.
    """
    stated = arguments_in(origin.asked or origin.words, tool)
    return [doubt for doubt in doubts if doubt not in stated or stated[doubt] != arguments.get(doubt)]


def foreign_references(text: str, words: str) -> list[str]:
    """Return the links and mail addresses in `text` that `words` does not contain.

    >>> foreign_references("See www.example.org, ana@example.org", "write to ana@example.org")
    ['www.example.org']
    """
    spoken, folded = Words(words), _fold(text)
    links = [*_EMAIL.findall(folded), *_LINK.findall(_EMAIL.sub(lambda one: " " if one[1] else one[0], folded))]
    return [bare for item in links if item and not spoken.hold(bare := item.rstrip(".,;:!?)"))]


class Words:
    """A person's text, indexed for search. Case, width, invisible characters and quotes are ignored."""

    def __init__(self, text: str) -> None:
        text = _UNSPACED.sub(". ", text)
        folded = _fold(text)
        self.strict, self.loose = _tokens(folded), _LOOSE.findall(folded)
        spelled = (_tokens(_lower(text), "", _STRICT), _tokens(_lower(text), ".:!?,;", _WHOLE))
        self.lines, self.loose_line = [*map(_line, (self.strict, *spelled))], _line(self.loose)
        self.plain_line = _line(_parts(self.strict))
        """The words split at hyphens, "check-up" into two; an address and the like stay whole."""
        self.numbers = {Decimal(one.replace(",", "")) for one in _NUMBER.findall(_NO_AMOUNT.sub(" ", folded))}
        shares = {(Decimal(share), Decimal(more or 0)) for share, more in _SHARE.findall(folded)}
        # of several, or of other numbers that were said, one may be what was meant
        self.shares = shares if len(shares) == 1 and self.numbers <= {more for _, more in shares} else set()
        self.days: set[tuple[int | None, int, int]] = {(int(y), int(m), int(d)) for y, m, d in _ISO.findall(folded)}
        for month_1, day_1, day_2, month_2, year in _SPOKEN.findall(folded):
            month = SHORT_MONTHS.index(month_1 or month_2) + 1
            self.days.add((int(year) if year else None, month, int(day_1 or day_2)))

    def hold(self, value: str) -> bool:
        """Whether the text has the value as whole words, to the sign."""
        spelled = _spell(value)
        plain = all(map(_PLAIN.fullmatch, spelled)) and _stands_in(_parts(spelled), self.plain_line)
        return plain or any(_stands_in(spelled, line) for line in self.lines)

    def name(self, value: str, ordinary: Collection[str] = ()) -> bool:
        """Whether the text says the name, however it is joined: "Grocery list" names grocery-list.docx."""
        parts = _LOOSE.findall(_fold(re.sub(r"\.\w{2,5}$", "", value.strip())))
        short = len(parts) == 1 and (len(parts[0]) < 4 or parts[0].isdigit())
        named = len(value) <= LONG_TEXT and not {*parts} <= {*ordinary}
        return named and not short and _stands_in(parts, self.loose_line)

    def names_day(self, moment: date | datetime, *, clock: bool) -> bool:
        day = bool(self.days & {(year, moment.month, moment.day) for year in (None, moment.year)})
        return day and (not clock or f"{moment:%H:%M}" in self.strict)


@dataclass(frozen=True)
class _Trace:
    said: Words
    asked: Sequence[str]
    origin: Origin
    tools: Mapping[str, BaseTool]
    own: bool
    opens: bool

    def holds(self, role: Role, name: str, value: Any, targets: Mapping[str, Any]) -> bool:
        if role == "choice":
            return True
        if isinstance(value, list | tuple | Mapping):
            keyed = value if isinstance(value, Mapping) else {}
            fields = json.dumps([*map(schema_of, self.tools.values())]) if keyed else ""
            keys = [(key, key) for key in keyed if not (key.isidentifier() and f'"{key}": ' in fields)]
            items = [*keys, *keyed.items()] if keyed else [(name, item) for item in value]
            return all(self.holds(role, key, item, targets) for key, item in items)
        if role == "content":
            return self._content(str(value))
        return self._amount(name, value, targets) if role == "amount" else self._target(name, str(value), targets)

    def _target(self, name: str, value: str, targets: Mapping[str, Any]) -> bool:
        moment = _moment(value)
        if moment is not None:
            return self.said.names_day(moment, clock=len(value.strip()) > 10 and f"{moment:%H:%M}" != "00:00")
        if _SHORT_NUMBER.fullmatch(value):
            return self._follows_its_noun(name, value) or self._is_issued(value)
        own = self.said.hold(value) or self._is_issued(value)
        return own or self._is_composed(value) or self._looked_up(value, targets)

    def _content(self, text: str) -> bool:
        """Whether text of the role "content" has no foreign link and, where it leaves the house, no long number of unknown origin."""
        if foreign_references(text, self.origin.words):
            return False
        issued = {token for _, record in self._records for item in record for token in _tokens(_fold(item))}
        # which may be an account, a card or a passport
        long = [word for word in _tokens(_fold(text)) if sum(map(str.isdigit, word)) >= _IDENTIFIER_DIGITS]
        return self.own or all(word in issued or _ISO.fullmatch(word) or self.said.hold(word) for word in long)

    def _follows_its_noun(self, name: str, value: str) -> bool:
        # a short number alone is too ambiguous: the word before it must say what it numbers
        nouns = _NUMBER_NOUNS | set(_LOOSE.findall(name.replace("_", " ").casefold()))
        return any(word == value and noun in nouns for noun, word in pairwise(self.said.loose))

    def _is_issued(self, value: str) -> bool:
        records = [record for _, record in self._records if self.own or self._is_named(record, value)]
        return any(_same(value, item) for record in records for item in record)

    def _is_named(self, record: Sequence[str], besides: str) -> bool:
        # who may read a file or was written to does not name it
        names = (item for item in record if "@" not in item and not _same(item, besides))
        named = any(self.said.name(item, self._ordinary) for item in names)
        # the name of the largest file may be the id of another one
        others = (item for _, own in self._records if own != record for item in own)
        return named or (record in self._superlatives and not any(_same(besides, other) for other in others))

    @cached_property
    def _ordinary(self) -> set[str]:
        # of what tools are named by, and pick a record by, no name is made
        phrases = [phrase for tool in self.tools for phrase in (tool, *self._metadata(tool, "superlatives"))]
        return {"the", "my", "our", "please", *_LOOSE.findall(" ".join(phrases))}

    @cached_property
    def _superlatives(self) -> list[list[str]]:
        """The records asked for as "the largest", of all full lists together: after it was deleted, no other one is."""
        listed: dict[str, list[tuple[Any, list[str]]]] = {}
        for result in self.origin.results:
            for word, field in dict(self._metadata(result.tool, "superlatives")).items():
                if all(item is None for item in result.arguments.values()) and self._is_picked(result.tool, word):
                    ranks = [(_decimal(entry.get(field)), own) for entry, own in self._trusted_in(result)]
                    listed[word] = [*listed.get(word, []), *ranks]
        # what has no number may be the largest
        ranked = [sorted(ranks) for ranks in listed.values() if all(rank is not None for rank, _ in ranks)]
        tops = [[own for rank, own in ranks if rank == ranks[-1][0]] for ranks in ranked]
        return [own[0] for own in tops if own and all(other == own[0] for other in own)]

    def _is_picked(self, tool: str, phrase: str) -> bool:
        # "the second largest", or "in that folder": no other word than those that the description has of the whole list
        known = {"the", "my", "our", *_LOOSE.findall(_fold(self.tools[tool].description))}
        verbs = {request.split()[0] for request in self.asked if phrase in request}
        text = " ".join(re.findall(rf"{WORD.pattern}|[.;!?]", _fold(self.origin.asked or self.origin.words)))
        for before, found, after in (sentence.partition(phrase) for sentence in re.split(r"[.;!?]", text)):
            # "in the store" says of what; else another sentence may: "Look into the folder Old. Delete the largest file"
            whole = not all(map(_POLITE.fullmatch, after.split()))
            said = WORD.findall(before + after if whole else text.replace(phrase, ""))
            narrows = any(word not in known | verbs and not _POLITE.fullmatch(word) for word in said)
            if found and verbs & {*before.split()} and not narrows:
                return True
        return False

    def _is_composed(self, value: str) -> bool:
        parts = [] if foreign_references(value, self.origin.words) else _LOOSE.findall(_fold(value))
        issued = [_LOOSE.findall(_fold(item)) for _, record in self._records for item in record]
        ends = [name for name in issued if name and len(parts) >= len(name) + 2 and parts[-len(name) :] == name]
        return any(_stands_in(parts[: -len(name)], self.said.loose_line) for name in ends)

    def _looked_up(self, value: str, targets: Mapping[str, Any]) -> bool:
        """Whether the address or link is the only one of its kind in a looked-up text or record of a person whom the caller named."""
        kind = next((kind for kind in (_EMAIL, _LINK) if (whole := kind.fullmatch(_lower(value))) and whole[1]), None)
        return kind is not None and any(
            {" ".join(_tokens(link)) for link in kind.findall(_fold(passage)) if link} == {" ".join(_spell(value))}
            for result in self.origin.results
            if _arguments_of(result) and all(map(self.said.hold, _arguments_of(result)))
            for passage in self._passages(result, targets)
        )

    def _passages(self, result: ToolOutcome, targets: Mapping[str, Any]) -> Iterator[str]:
        people = [item for item in targets.values() if isinstance(item, str) and self.said.hold(item)]
        source = _line(_tokens(_fold(result.content)))
        if any(_stands_in(_tokens(_fold(person)), source) for person in people):
            yield result.content
        entries, asked = [*self._trusted_in(result, besides=result.arguments)], self.origin.asked or self.origin.words
        # of the addresses in our own records, those with the name of somebody who was named
        called = [item for _, own in entries for item in own if any(map(self._is_called, _NAMES.findall(item.title())))]
        yield " ".join(called)
        for clause in re.split(r"[.;!?\n]", _fold(asked)) if self.opens else ():
            said = Words("".join(_EACH_LINK.split(clause, 1)[1:]).partition(" and ")[0])
            excluded = any(NEGATES.fullmatch(word) or _EXCLUDES.fullmatch(word) for word in WORD.findall(clause))
            excluded = excluded or not _READS.search(clause)
            # by a name: a channel could be called "the"
            if not excluded and all(said.hold(place) and said.name(place) for place in _arguments_of(result)):
                yield from (json.dumps(entry).replace("@", "_") for entry, _ in entries)  # an address is no link
        common = set.intersection(*(set(own) for _, own in entries)) if entries else set()
        # all that were named, and those told apart by what not all have: each message of a channel has the channel
        for is_named in (self.said.hold, lambda value: value not in common and self._is_called(value)):
            theirs = [entry for entry, own in entries if any(map(is_named, own))]
            if theirs:
                yield json.dumps(theirs, ensure_ascii=False)

    def _is_called(self, value: str) -> bool:
        # a capital within a sentence: to open a page names nobody whom a channel calls "page", or "Open"
        names = value[:1].isupper() and value not in {*calendar.day_name, *calendar.month_name}
        place = rf"[\w,'’](?<!\b[Oo]n)(?<!\b[Ii]n)(?<!\b[Aa]t) {re.escape(value)}(?!\w)"
        return names and re.search(place, self.origin.words) is not None

    def _amount(self, name: str, value: Any, targets: Mapping[str, Any]) -> bool:
        """Whether the number was said, or is in a record of the target or one that was named; "back" goes up to the largest."""
        amount = _decimal(value)
        if amount is None or amount in self.said.numbers:
            return amount is not None
        mine = [item for item in map(str, targets.values()) if self.said.hold(item)]
        for entry, record in self._records:
            to = [str(entry[key]) for key in targets if key in entry]
            # a longer number may be an account
            fields = [str(entry[name])] if str(entry.get(name)) in record else record
            numbers = [one for one in map(_decimal, fields) if one and 0 < one < 10 ** (_IDENTIFIER_DIGITS - 1)]
            theirs, sent = (any(_same(a, b) for a in mine for b in values) for values in (record, to))
            back = not sent and any(map(_BACK.search, self.asked)) and 0 < amount <= max(numbers, default=0)
            others = [item for item in record if not any(_same(item, own) for own in mine)]
            called = "%" not in self.origin.words and any(map(self._is_called, " ".join(others).split()))
            meant = called or (theirs and (sent or not to)) or self._is_named(others, "")
            if (theirs and back) or (meant and amount in numbers):
                return True
            shares = {round(number * share / 100 + more, 2) for number in numbers for share, more in self.said.shares}
            if amount in shares and any(Words(item).hold(target) for item in record for target in mine):
                return True
        return False

    @cached_property
    def _records(self) -> list[tuple[Any, list[str]]]:
        return [entry for result in self.origin.results for entry in self._trusted_in(result)]

    def _trusted_in(self, result: ToolOutcome, besides: Collection[str] = ()) -> Iterator[tuple[Any, list[str]]]:
        trusted = self._metadata(result.tool, "trusted")
        needs = trusted if isinstance(trusted, Mapping) else dict.fromkeys(trusted)
        return trusted_records(result.artifact, {key: need or {} for key, need in needs.items() if key not in besides})

    def _metadata(self, tool: str, key: str) -> Any:
        return metadata_of(self.tools[tool], key, ()) if tool in self.tools else ()


def _arguments_of(result: ToolOutcome) -> list[str]:
    return [str(item) for item in result.arguments.values() if item is not None and _tokens(_fold(str(item)))]


def _fold(text: str) -> str:
    return _lower(visible(text))


def _lower(text: str) -> str:
    # in the path of a link case tells
    return "".join(part if index % 3 == 2 else part.lower() for index, part in enumerate(_PATH.split(text)))


def _tokens(folded: str, signs: str = ".:!?*…", pattern: re.Pattern[str] = _STRICT) -> list[str]:
    # addresses, links and dates stay whole
    words = (token.strip(signs) for token in pattern.findall(folded))
    return [bare for word in words if (bare := re.sub(r"^https?://(www\.)?|^www\.", "", word).removesuffix("/"))]


def _spell(value: str) -> list[str]:
    # each sign of a call's value counts: "plan*" or "plan/.." is not "plan", and a link carries whatever is added to it
    return _tokens(_lower(value), "", _WHOLE if _PATH.search(value) else _STRICT)


def _covers(value: Any, other: Any) -> bool:
    words, others = ({_decimal(word) or word for word in _spell(str(item))} for item in (value, other))
    return words <= others or others <= words  # "Ana" is whom "Ana Lund" was


def _parts(tokens: Sequence[str]) -> list[str]:
    return [part for token in tokens for part in (re.split("[-’]", token) if _PLAIN.fullmatch(token) else [token])]


def _line(words: Sequence[str]) -> str:
    return "\n".join(["", *words, ""])


def _stands_in(part: Sequence[str], line: str) -> bool:
    return bool(part) and _line(part) in line


def _same(value: str, other: str) -> bool:
    return bool(spelled := _spell(value)) and spelled in (_spell(other), _tokens(_fold(other)))


def _moment(value: str) -> datetime | None:
    try:
        return datetime.fromisoformat(value.strip()) if _ISO.match(value.strip()) else None
    except ValueError:
        return None


def _decimal(value: Any) -> Decimal | None:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None  # "Nan" is also a name
