"""Whose a call's values are: the person's own, those of a record that our own systems issued, or somebody else's.

A model can be made to write anything, so a value is the person's only if it stands in their words to the sign, or in a trusted field
of a record that they named. Everything else waits for a person. Nothing here reads a sentence: values are compared, not understood.
Nothing calls a tool, a model or a network either; the executor asks and decides.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any

from langchain_core.tools import BaseTool

from foundation.machine import deadline
from orchestration.actions import Origin, Role, ToolOutcome
from orchestration.calls import metadata_of, roles_of, schema_of
from orchestration.effects.trusted_records import trusted_records

_OPENS, _CLOSES = r"\s\"'`<({\[,;|“„\u2018«", r"\s\"'`>)}\],;|”“\u2018’»"
_BEFORE, _BEHIND = re.compile(rf"[{_OPENS}]?"), re.compile(rf"[{_CLOSES}]|[.:!?…]*+(?:[{_CLOSES}]|\Z)")
_SPLITS = re.compile(rf"[{_OPENS}{_CLOSES}]+")
_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")
# A token that can carry something out of the house: an address, a link, or enough digits for an account or a card
_ADDRESS = re.compile(r"@|//|\w[.\u3002\uff0e]\w")
# A link that carries nothing but its own path, and leads out of this machine and network
_PLAIN_LINK = re.compile(
    r"(?:https?://)?(?!\d|[^/]*\.(?:internal|local|localhost)(?:/|$))[\w-]+(?:\.[\w-]+)+(?:/[\w./-]*)?", re.ASCII
)
_WORDS = re.compile(r"\w+")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_ACCOUNT_DIGITS = 6
_SHORT = 4


def list_reasons_to_ask(
    tool: BaseTool, arguments: Mapping[str, Any], origin: Origin, tools: Mapping[str, BaseTool]
) -> list[str]:
    """Return why a person must look at this effect, in words for an approver; empty where nothing speaks against it."""
    reasons = []
    if foreign := foreign_values(tool, arguments, origin, tools):
        reasons.append(f"the person did not state {', '.join(foreign)}")
    if is_repeated_payment(tool, arguments, origin):
        reasons.append("the same payment was made before in this conversation")
    return reasons


def foreign_values(
    tool: BaseTool, arguments: Mapping[str, Any], origin: Origin, tools: Mapping[str, BaseTool]
) -> list[str]:
    """Return the names of the arguments whose values are not the person's own; empty where all are. `tools`: all, by name."""
    roles, schema = roles_of(tool), schema_of(tool)
    stated = _drop_defaults(schema, arguments)
    check = _Values(tool, stated, origin, tools)
    return [name for name, value in stated.items() if not check.is_own(roles.get(name, "target"), name, value)]


def is_repeated_payment(tool: BaseTool, arguments: Mapping[str, Any], origin: Origin) -> bool:
    """Whether an effect with an amount was done before in this conversation, with the same amount and targets."""
    roles, schema = roles_of(tool), schema_of(tool)
    stated = _drop_defaults(schema, arguments)
    names = {name for name in stated if roles.get(name, "target") in ("target", "amount")}
    equal = (past for past in origin.results if (past.tool, past.status) == (tool.name, "done"))
    done = (_drop_defaults(schema, past.arguments) for past in equal)
    return "amount" in roles.values() and any(
        all(_overlap(stated[name], past[name]) for name in names & past.keys()) for past in done
    )


def _overlap(value: Any, other: Any) -> bool:
    """Whether one value has all words of the other: "Ana" is whom "Ana Lund" was."""
    words, others = ({_decimal(word) or word for word in _fold(str(item)).split()} for item in (value, other))
    return words <= others or others <= words


def _drop_defaults(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    preset = {name: [None, field.get("default")] for name, field in schema["properties"].items()}
    empty = dict.fromkeys(arguments.keys() - {*schema.get("required", ())}, "")
    return {
        name: value
        for name, value in arguments.items()
        if value not in preset.get(name, [None]) and value != empty.get(name)
    }


def _fold(text: str) -> str:
    """Return the text without what nobody sees: width, hidden characters, runs of spaces, and case but in paths."""
    return _lower("".join(sign for sign in unicodedata.normalize("NFKC", text) if unicodedata.category(sign) != "Cf"))


def _lower(text: str) -> str:
    return " ".join(token if "/" in token else token.lower() for token in text.split())


class _Values:
    """The values that a person may use in one call: their words, and the trusted records of this conversation."""

    def __init__(
        self, tool: BaseTool, arguments: Mapping[str, Any], origin: Origin, tools: Mapping[str, BaseTool]
    ) -> None:
        self._tool, self._arguments, self._origin, self._tools = tool, arguments, origin, tools
        self._words = _fold(origin.words)
        self._texts = (self._words, _lower(origin.words))
        self._stays_inside = metadata_of(tool, "reach", "outward") == "own"

    def is_own(self, role: Role, name: str, value: Any) -> bool:
        deadline.check()  # a model may send thousands, and each is looked for in a whole conversation
        if role == "choice":
            return True
        if isinstance(value, Mapping):
            return all(self._is_key(str(key)) and self.is_own(role, name, item) for key, item in value.items())
        if isinstance(value, list | tuple):
            return all(self.is_own(role, name, item) for item in value)
        if role == "content":
            return all(map(self._is_harmless, _SPLITS.split(_fold(str(value)))))
        return self._is_own_amount(name, value) if role == "amount" else self._is_own_target(name, str(value))

    def _is_key(self, key: str) -> bool:
        # a key carries text as its value does, unless the tool itself names it
        return key in _WORDS.findall(f"{self._tool.description} {schema_of(self._tool)}") or self._is_said(key)

    def _is_own_target(self, name: str, value: str) -> bool:
        issuers = metadata_of(self._tool, "issued_by", {}).get(name)
        if value.strip().isdigit() and len(value.strip()) <= _SHORT:
            issuers = issuers or ()  # a short number numbers many things, so its tools must be declared
        elif self._is_said(value) or self._is_sole_address(value) or self._is_composed(value):
            return True
        return any(
            _same(value, item) and (self._stays_inside or self._is_named(record, besides=value))
            for result in self._origin.results
            if issuers is None or result.tool in issuers
            for _, record in self._trusted_in(result)
            for item in record
        )

    def _is_sole_address(self, value: str) -> bool:
        """Whether the value is the only mail address, or the only link, in a text that the person named: for somebody whom they
        named and the text names, or to open it and nothing else.
        """
        opens = len(self._arguments) == 1 and _PLAIN_LINK.fullmatch(value) is not None
        others = [_fold(str(item)) for item in self._arguments.values() if item != value and self._is_said(str(item))]
        is_mail, texts = "@" in value, []
        for result in self._origin.results:
            content = _fold(result.content)
            named = result.arguments and all(self._is_said(str(item)) for item in result.arguments.values() if item)
            if named and (opens or any(_is_whole(other, content) for other in others)):
                texts.append(content)
            if opens:
                texts.append(" ".join(_fold(str(entry)) for entry in self._entries_of_named(result)))
        return any(
            {token for token in _addresses(text) if ("@" in token) == is_mail} == {_lower(value)} for text in texts
        )

    def _is_composed(self, value: str) -> bool:
        """Whether the value is two or more words of the person with an issued value behind them: "Dinner at" and a name."""
        issued = {_fold(item) for _, record in self._records for item in record}
        starts = [_fold(value).removesuffix(f" {item}") for item in issued if _fold(value).endswith(f" {item}")]
        return any(" " in start and self._is_said(start) for start in starts)

    def _entries_of_named(self, result: ToolOutcome) -> list[Any]:
        """Return the records that have a value which the person said and which not all of them have."""
        records = [*self._trusted_in(result)]
        common = set.intersection(*(set(own) for _, own in records)) if records else set()
        return [entry for entry, own in records if any(self._is_said(item) for item in own if item not in common)]

    def _is_own_amount(self, name: str, value: Any) -> bool:
        amount = _decimal(value)
        # the target is checked by itself, so here the first word of a field names its record
        begins = ((entry, [item.partition(" ")[0] for item in record]) for entry, record in self._records)
        named = (entry for entry, words in begins if self._is_named(words, besides=str(value)))
        return amount is not None and (
            amount in self._numbers or any(_decimal(entry.get(name)) == amount for entry in named)
        )

    def _is_harmless(self, token: str) -> bool:
        """Whether a word of a text is no foreign address and, where the text leaves the house, no foreign account or card."""
        bare = token.strip(".:!?…")
        if _is_address(bare):
            return self._is_said(bare)
        long = sum(map(str.isdigit, bare)) >= _ACCOUNT_DIGITS and not _DATE.fullmatch(bare)
        return not long or self._stays_inside or bare in self._issued_tokens or self._is_said(bare)

    @cached_property
    def _issued_tokens(self) -> set[str]:
        texts = [_fold(item) for _, record in self._records for item in record]
        return {token.strip(".:!?…") for text in texts for token in _SPLITS.split(text)}

    def _is_said(self, value: str) -> bool:
        """Whether the value stands in the person's words, whole and to the sign."""
        # what goes to the tool is not folded: other letters that look alike are another value
        plain = _lower(value)
        return any(_is_whole(plain.removeprefix(scheme), text) for scheme in ("", "https://") for text in self._texts)

    def _is_named(self, record: list[str], besides: str) -> bool:
        # a person who may read a record or got it does not name it, and neither does a short word or number
        names = (item for item in record if "@" not in item and not _same(item, besides))
        return any(len(item) >= _SHORT and not item.isdigit() and self._is_said(item) for item in names)

    @cached_property
    def _numbers(self) -> set[Decimal]:
        """The numbers that stand by themselves; two in a row are an account, a telephone or a date."""
        words = (word.strip("$€£¥.,:;!?()\"'") for word in self._words.split())
        numbers = [Decimal(word.replace(",", "")) if _NUMBER.fullmatch(word) else None for word in words]
        beside = zip([None, *numbers], numbers, [*numbers[1:], None], strict=False)
        return {number for before, number, after in beside if number is not None and before is after is None}

    @cached_property
    def _records(self) -> list[tuple[Mapping[str, Any], list[str]]]:
        return [entry for result in self._origin.results for entry in self._trusted_in(result)]

    def _trusted_in(self, result: ToolOutcome) -> Iterator[tuple[Any, list[str]]]:
        trusted = metadata_of(self._tools[result.tool], "trusted", ()) if result.tool in self._tools else ()
        needs = trusted if isinstance(trusted, Mapping) else dict.fromkeys(trusted)
        return trusted_records(result.artifact, {field: need or {} for field, need in needs.items()})


def _is_whole(part: str, text: str) -> bool:
    """Whether the folded text has the folded part between spaces, quotes, brackets or the signs that end a sentence."""
    place = text.find(part) if part else -1
    while place >= 0:
        if _BEFORE.fullmatch(text[max(0, place - 1) : place]) and _BEHIND.match(text, place + len(part)):
            return True
        place = text.find(part, place + 1)
    return False


def _addresses(text: str) -> set[str]:
    tokens = (token.strip(".:!?…") for token in _SPLITS.split(text))
    return {token for token in tokens if _is_address(token)}


def _is_address(token: str) -> bool:
    return _ADDRESS.search(token) is not None and not _NUMBER.fullmatch(token)


def _same(value: str, issued: str) -> bool:
    return bool(plain := _lower(value)) and plain in (_lower(issued), _fold(issued))


def _decimal(value: Any) -> Decimal | None:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
