"""Where the values of a call come from: the person's own words, what our own systems issued, or anybody.

A model can be made to say anything, so a value counts as foreign unless it is traced. The rules in full, with their limits:
docs/decisions/0045-an-effect-needs-approval-unless-its-arguments-are-the-persons.md. In short:

    words      the value stands in what the person said: whole words, numbers by value, dates by day
    issued     a tool that the operator trusts returned it (`trusted` in the tool's metadata). Enough by itself where the
               effect stays in our own house; where it leaves it, the record must also be one that the person named
    composed   a phrase of the person's followed by an issued name ("Dinner at" + "Chez Marie")
    looked up  the one contact in a source whose address the person gave, for somebody whom the person named

Nothing here calls a tool, a model or a network; the executor asks and decides.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import cached_property
from itertools import pairwise
from typing import Any

from langchain_core.tools import BaseTool

from foundation.text.lexical import SHORT_MONTHS
from orchestration.actions import Origin, Role, ToolOutcome
from orchestration.effects.arguments import schema_of
from orchestration.language.intent import classify_clauses
from orchestration.language.intent import verbs as verbs_of
from orchestration.language.stated_arguments import arguments_in

_STRICT = re.compile(r"[^\s\"'`<>(){}\[\],;|“”\u2018’«»]+")
_PLAIN = re.compile(r"[^\W\d_]+(?:[-’][^\W\d_]+)*")
_UNSPACED = re.compile(r"(?<=[a-z0-9])\.(?=[A-Z][a-z])")
"""The end of a sentence, where the next begins without a space and an address would swallow its first word."""
_LOOSE = re.compile(r"[^\W_]+")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_NEGATES = re.compile(
    r"not|never|no|none|nobody|neither|nor|without|cannot|stop|avoid|refrain|\w+n['’]t|(?:do|ca|wo|did|does|should)nt"
)
_HOST = r"(?:[a-z0-9-]++\.)+(?:com|net|org|info|biz|dev|app|xyz|[a-z]{2})\b"
_BEGINS = r"(?:https?://|www\.)"
_EMAIL = re.compile(r"([\w.+-]++@[\w-]++(?:\.[\w-]++)++)|[\w.+-]++")
"""The group is an address. What cannot be one is read over as a whole, because trying again at each of its characters takes
the square of the time; the same holds of a link. `_references` gives what was found."""
_LINK = re.compile(
    rf"\b(?:(https?://\S+|www\.\S+|{_HOST}(?:/\S*)?)"
    rf"|[a-z0-9-](?:(?!\b{_BEGINS})[a-z0-9-])*+(?:\.(?:(?!\b{_BEGINS})[a-z0-9-])++)*+)"
)
_NUMBER = re.compile(r"(?<![\w.,-])[$€£¥]?(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)(?!\w|[.,]?\d|\s*%)")
_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_MONTH = rf"({'|'.join(SHORT_MONTHS)})[a-z]*\.?"
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
_SPOKEN = re.compile(rf"\b(?:{_MONTH}\s+(?:the\s+)?{_DAY}|{_DAY}\s+(?:of\s+)?{_MONTH})\b(?:,?\s+(\d{{4}}))?")
_SHORT_NUMBER = re.compile(r"\d{1,4}")
_NUMBER_NOUNS = frozenset({"id", "number", "no", "nr", "num"})
_LONG_TEXT = 120
"""Characters beyond which a field is prose, which names nothing."""
_IDENTIFIER_DIGITS = 6


def doubts(tool: BaseTool, arguments: Mapping[str, Any], origin: Origin, tools: Mapping[str, BaseTool]) -> list[str]:
    """Why a person must look before this effect, an item a reason; empty where everything is the person's own.

    `tools` are all tools by name: their metadata say which results count as issued by our own systems.
    """
    words = Words(origin.words)
    verbs = _get_metadata(tool, "asked_by", ())
    if verbs and not _is_asked(origin.words, verbs, verbs_of(_get_metadata(tool, "examples", ()))):
        return [f"nobody asked to {verbs[0]}"]
    trace = _Trace(words, origin, tools, own=_get_metadata(tool, "reach", "outward") == "own")
    roles: Mapping[str, Role] = _get_metadata(tool, "arguments", {})
    targets = {name: value for name, value in arguments.items() if roles.get(name, "target") == "target"}
    properties = schema_of(tool).get("properties", {})
    return [
        name
        for name, value in arguments.items()
        if value not in (None, properties.get(name, {}).get("default"))
        and not trace.holds(roles.get(name, "target"), name, value, targets)
    ]


def _is_asked(text: str, verbs: Sequence[str], own: Collection[str]) -> bool:
    """Whether one of the verbs is said in a clause that is no question; a "not forget" only where it
    is negated, and a "forget" only where it is not: "do not forget the note" is the contrary of forgetting it."""
    for clause in classify_clauses(text, own):
        words = _WORD.findall(_fold(text[clause.start : clause.end]))
        for position, word in enumerate(words):
            negated = any(map(_NEGATES.fullmatch, words[:position]))
            wanted = [verb.removeprefix("not ") for verb in verbs if verb.startswith("not ") == negated]
            if any(word.startswith(verb) for verb in wanted) and (negated or not clause.question):
                return True
    return False


def without_what_was_read(
    doubts: Sequence[str], tool: BaseTool, arguments: Mapping[str, Any], origin: Origin
) -> list[str]:
    """The doubts that remain for somebody who looks anyway: not those about values that the planner's own reading of the
    request gives, such as the only number in it. Enough to warn nobody, never enough to act without being asked."""
    stated = arguments_in(origin.asked or origin.words, tool)
    return [doubt for doubt in doubts if doubt not in stated or stated[doubt] != arguments.get(doubt)]


def foreign_references(text: str, words: str) -> list[str]:
    """Links and mail addresses in `text` that the person did not give.

    >>> foreign_references("See www.example.org, ana@example.org", "write to ana@example.org")
    ['www.example.org']
    """
    spoken, folded = Words(words), _fold(text)
    references = [
        *_references(_EMAIL, folded),
        *_references(_LINK, _EMAIL.sub(lambda one: " " if one[1] else one[0], folded)),
    ]
    return [item.rstrip(".,;:!?)") for item in references if not spoken.hold(item)]


def long_numbers(text: str) -> list[str]:
    """Words with many digits, which may be somebody's account, card or passport; dates are none.

    >>> long_numbers("Passport HGK137803, flat 75002, on 2026-11-25")
    ['hgk137803']
    """
    tokens = [token for token in _tokens(_fold(text)) if not _ISO.fullmatch(token)]
    return [token for token in tokens if sum(map(str.isdigit, token)) >= _IDENTIFIER_DIGITS]


class Words:
    """What a person said, ready to be searched. Case, width, invisible characters and quotes make no difference."""

    def __init__(self, text: str) -> None:
        folded = _fold(_UNSPACED.sub(". ", text))
        self.strict, self.loose = _tokens(folded), _LOOSE.findall(folded)
        self.strict_line, self.loose_line = _line(self.strict), _line(self.loose)
        self.plain_line = _line(_parts(self.strict))
        """The words in their parts, "check-up" as two; what is more than a word, such as an address, stays whole."""
        self.numbers = {Decimal(number.replace(",", "")) for number in _NUMBER.findall(folded)}
        self.days: set[tuple[int | None, int, int]] = {
            (int(year), int(month), int(day)) for year, month, day in _ISO.findall(folded)
        }
        """(year or None, month, day) of every date."""
        for month_1, day_1, day_2, month_2, year in _SPOKEN.findall(folded):
            month = SHORT_MONTHS.index(month_1 or month_2) + 1
            self.days.add((int(year) if year else None, month, int(day_1 or day_2)))

    def hold(self, value: str) -> bool:
        """Whether the value stands there: as whole words, never as a part of one."""
        strict = _tokens(_fold(value))
        if not strict:
            return True
        if _stands_in(strict, self.strict_line):
            return True
        return all(map(_PLAIN.fullmatch, strict)) and _stands_in(_parts(strict), self.plain_line)

    def name(self, value: str) -> bool:
        """Whether the value is a name that was said, however it was joined: "Grocery list" names grocery-list.docx."""
        parts = _LOOSE.findall(_fold(re.sub(r"\.\w{2,5}$", "", value.strip())))
        if not parts or len(value) > _LONG_TEXT or (len(parts) == 1 and (len(parts[0]) < 4 or parts[0].isdigit())):
            return False
        return _stands_in(parts, self.loose_line)

    def names_day(self, moment: date | datetime, *, clock: bool) -> bool:
        day = bool(self.days & {(year, moment.month, moment.day) for year in (None, moment.year)})
        return day and (not clock or f"{moment:%H:%M}" in self.strict)


@dataclass(frozen=True)
class _Trace:
    said: Words
    origin: Origin
    tools: Mapping[str, BaseTool]
    own: bool

    def holds(self, role: Role, name: str, value: Any, targets: Mapping[str, Any]) -> bool:
        if role == "choice":
            return True
        if isinstance(value, list | tuple | Mapping):
            items = value.items() if isinstance(value, Mapping) else ((name, item) for item in value)
            return all(self.holds(role, key, item, targets) for key, item in items)
        if role == "content":
            return self._content(str(value))
        return self._amount(value, targets) if role == "amount" else self._target(name, str(value), targets)

    def _target(self, name: str, value: str, targets: Mapping[str, Any]) -> bool:
        moment = _moment(value)
        if moment is not None:
            return self.said.names_day(moment, clock=len(value.strip()) > 10 and f"{moment:%H:%M}" != "00:00")
        if _SHORT_NUMBER.fullmatch(value):
            return self._follows_its_noun(name, value) or self._is_issued(value)
        own = self.said.hold(value) or self._is_issued(value)
        return own or self._is_composed(value) or self._looked_up(value, targets)

    def _content(self, text: str) -> bool:
        """Text that goes along carries no link that the person did not give, and no number of unknown origin outward."""
        if foreign_references(text, self.origin.words):
            return False
        issued = {token for record in self._records for item in record for token in _tokens(_fold(item))}
        return self.own or all(number in issued or self.said.hold(number) for number in long_numbers(text))

    def _follows_its_noun(self, name: str, value: str) -> bool:
        """A short number stands for too much; it counts where the word before it says what it numbers."""
        nouns = _NUMBER_NOUNS | set(_LOOSE.findall(name.replace("_", " ").casefold()))
        return any(word == value and noun in nouns for noun, word in pairwise(self.said.loose))

    def _is_issued(self, value: str) -> bool:
        records = self._records if self.own else [record for record in self._records if self._is_named(record, value)]
        return any(_same(value, item) for record in records for item in record)

    def _is_named(self, record: Sequence[str], besides: str) -> bool:
        return any(self.said.name(item) for item in record if not _same(item, besides))

    def _is_composed(self, value: str) -> bool:
        parts = _LOOSE.findall(_fold(value))
        issued = [_LOOSE.findall(_fold(item)) for record in self._records for item in record]
        ends = [name for name in issued if name and len(parts) >= len(name) + 2 and parts[-len(name) :] == name]
        return any(_stands_in(parts[: -len(name)], self.said.loose_line) for name in ends)

    def _looked_up(self, value: str, targets: Mapping[str, Any]) -> bool:
        """The only one of its kind in what a named person wrote, or what stands about them, in a source that was named."""
        kind = next((kind for kind in (_EMAIL, _LINK) if (whole := kind.fullmatch(_fold(value))) and whole[1]), None)
        return kind is not None and any(
            {_bare(reference) for reference in _references(kind, _fold(passage))} == {_bare(value)}
            for result in self.origin.results
            if result.arguments and all(self.said.hold(str(item)) for item in result.arguments.values())
            for passage in self._passages(result, targets)
        )

    def _passages(self, result: ToolOutcome, targets: Mapping[str, Any]) -> Iterator[str]:
        people = [item for item in targets.values() if isinstance(item, str) and self.said.hold(item)]
        source = _line(_tokens(_fold(result.content)))
        if any(_stands_in(_tokens(_fold(person)), source) for person in people):
            yield result.content
        fields = [field for field in self._trusted_fields(result) if field not in result.arguments]
        entries = result.artifact if isinstance(result.artifact, list) else [result.artifact]
        objects = [entry for entry in entries if isinstance(entry, Mapping)]
        theirs = [entry for entry in objects if any(self.said.hold(str(entry[key])) for key in fields if key in entry)]
        if theirs:
            yield json.dumps(theirs, ensure_ascii=False)

    def _amount(self, value: Any, targets: Mapping[str, Any]) -> bool:
        """A number that was said; one in a record that was named; or no more than in a record of the person's target."""
        amount = _decimal(value)
        if amount is None or amount in self.said.numbers:
            return amount is not None
        mine = [item for item in map(str, targets.values()) if self.said.hold(item)]
        for record in self._records:
            numbers = [number for number in map(_decimal, record) if number is not None and number > 0]
            if amount in numbers and self._is_named(record, ""):
                return True
            if 0 < amount <= max(numbers, default=Decimal(0)) and any(_same(a, b) for a in mine for b in record):
                return True
        return False

    @cached_property
    def _records(self) -> list[list[str]]:
        results = self.origin.results
        records = [record for result in results for record in _records(result.artifact, self._trusted_fields(result))]
        return [[item for item in record if len(item) <= _LONG_TEXT] for record in records]  # prose is nobody's id

    def _trusted_fields(self, result: ToolOutcome) -> Sequence[str]:
        tool = self.tools.get(result.tool)
        return _get_metadata(tool, "trusted", ()) if tool else ()


def _records(data: Any, fields: Sequence[str]) -> Iterator[list[str]]:
    """The trusted fields of every object in `data`, an object a list; with "*" also bare values and the objects' keys."""
    if isinstance(data, Mapping):
        own = [item for key, value in data.items() if key in fields for item in _leaves(value)]
        if own:
            yield own
        for key, value in data.items():
            if "*" in fields:
                yield [str(key), *([] if isinstance(value, Mapping) else _leaves(value))]
            if key not in fields:
                yield from _records(value, fields)
    elif isinstance(data, list | tuple):
        for item in data:
            yield from _records(item, fields)
    elif "*" in fields and data is not None:
        yield [str(data)]


def _leaves(value: Any) -> list[str]:
    if isinstance(value, Mapping | list | tuple):
        return [leaf for item in (value.values() if isinstance(value, Mapping) else value) for leaf in _leaves(item)]
    return [] if value is None else [value if isinstance(value, str) else json.dumps(value)]


def _get_metadata(tool: BaseTool, name: str, default: Any) -> Any:
    return (tool.metadata or {}).get(name, default)


def _fold(text: str) -> str:
    """One form for what looks alike; invisible characters are dropped."""
    return "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf").casefold()


def _references(kind: re.Pattern[str], folded: str) -> list[str]:
    return [reference for reference in kind.findall(folded) if reference]


def _tokens(folded: str) -> list[str]:
    """Words with everything that belongs to them: addresses, links and dates stay whole."""
    words = (token.strip(".:!?*…") for token in _STRICT.findall(folded))
    return [bare for word in words if (bare := re.sub(r"^https?://(www\.)?|^www\.", "", word).rstrip("/"))]


def _parts(tokens: Sequence[str]) -> list[str]:
    return [part for token in tokens for part in (re.split("[-’]", token) if _PLAIN.fullmatch(token) else [token])]


def _line(words: Sequence[str]) -> str:
    """The words as one string, each between line ends, which no word holds."""
    return "\n".join(["", *words, ""])


def _stands_in(part: Sequence[str], line: str) -> bool:
    """Whether these words stand in that line one after the other."""
    return bool(part) and _line(part) in line


def _same(value: str, other: str) -> bool:
    return _tokens(_fold(value)) == _tokens(_fold(other))


def _bare(reference: str) -> str:
    return " ".join(_tokens(_fold(reference)))


def _moment(value: str) -> datetime | None:
    try:
        return datetime.fromisoformat(value.strip()) if _ISO.match(value.strip()) else None
    except ValueError:
        return None


def _decimal(value: Any) -> Decimal | None:
    try:
        return None if isinstance(value, bool) else Decimal(str(value))
    except InvalidOperation:
        return None
