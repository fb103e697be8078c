"""Detect and redact personal data and secrets that have a form; `make bench-pii` measures what is found."""

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["EMAIL", "URL", "SECRET", "IBAN", "MAC", "IP", "SSN", "PHONE", "CARD"]
# Kinds in the order in which they claim a stretch of text: longer and surer forms first
KINDS: tuple[Kind, ...] = get_args(Kind)

# Numbering plans for telephone numbers without a country code
REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "SE", "IN", "AU", "BR", "JP")

EMAIL = re.compile(
    r"(?<![\w.+-])[\w.+%-]{1,64}@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,24}(?![\w-])", re.IGNORECASE
)
URL = re.compile(r"\b(?:https?://|www\.)[^\s<>\"']+[^\s<>\"'.,;:!?)\]]", re.IGNORECASE)
SECRET = re.compile(
    r"\b(?:sk|pk|rk|api|key|token|ghp|gho|xox[abp]|sixply)[-_][A-Za-z0-9_-]{16,}\b"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|(?<![\w-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
CARD = re.compile(r"(?<![\d.,-])\d(?:[ -]?\d){11,18}(?![\d-])")
SSN = re.compile(r"(?<![\d-])\d{3}[- ]\d{2}[- ]\d{4}(?![\d-])")
IP = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4})(?![\w:]|\.\d)", re.IGNORECASE
)
DIALLED = re.compile(r"(?<![\w+])\+\d(?:[ ().-]{0,2}\d){6,14}(?!\d)")
MAC = re.compile(r"(?<![\w:-])[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}(?![\w:-])", re.IGNORECASE)


@dataclass(frozen=True, slots=True, order=True)
class Found:
    """A stretch of text, `text[start:end]`, and its kind."""

    start: int
    end: int
    kind: Kind


def find(text: str) -> list[Found]:
    """Return all findings in the order of the text, without overlaps."""
    stretches: list[Found] = []
    for kind in KINDS:
        if kind == "PHONE":
            places = _phones(text)
        else:
            pattern, holds = _FORMS[kind]
            places = (match.span() for match in pattern.finditer(text) if holds(match.group()))
        for start, end in places:
            if not any(start < stretch.end and stretch.start < end for stretch in stretches):
                stretches.append(Found(start, end, kind))
    return sorted(stretches)


def redact(text: str) -> str:
    """Replace each finding by its kind in brackets. Redacting twice changes nothing more.

    >>> redact("Write to ada@example.org from 192.0.2.7")
    'Write to [EMAIL] from [IP]'
    """
    # until nothing is found: a replacement can make its neighbour recognisable
    while spans := find(text):
        for stretch in reversed(spans):
            text = f"{text[: stretch.start]}[{stretch.kind}]{text[stretch.end :]}"
    return text


def _is_iban(text: str) -> bool:
    from stdnum import iban

    return bool(iban.is_valid(text))


def _is_card(text: str) -> bool:
    from stdnum import luhn

    digits = re.sub(r"\D", "", text)
    # 0000 0000 0000 0000 passes Luhn's check
    return len(set(digits)) > 1 and bool(luhn.is_valid(digits))


def _is_ssn(text: str) -> bool:
    area, group, serial = re.split(r"[- ]", text)
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def _is_ip(text: str) -> bool:
    try:
        return not ipaddress.ip_address(text).is_unspecified
    except ValueError:
        return False


def _like_an_order(number: str) -> bool:
    return re.fullmatch(r"[1-9]\d*(?:[ -]\d+)?", number) is not None


def _phones(text: str) -> Iterator[tuple[int, int]]:
    if sum(char.isdigit() for char in text) < 7:
        return
    import phonenumbers

    # by form, because the plans lack the numbers that are reserved for films and tests
    seen = {dialled.span() for dialled in DIALLED.finditer(text)}
    yield from sorted(seen)
    for region in REGIONS:
        for match in phonenumbers.PhoneNumberMatcher(text, region):
            # digits alone, or in two groups, without the 0 or the bracket of local numbers, are order numbers
            if not _like_an_order(match.raw_string) and (match.start, match.end) not in seen:
                seen.add((match.start, match.end))
                yield match.start, match.end


# Pattern of each kind, and a check of its matches
_FORMS: dict[Kind, tuple[re.Pattern[str], Callable[[str], bool]]] = {
    "EMAIL": (EMAIL, bool),
    "URL": (URL, bool),
    "SECRET": (SECRET, bool),
    "IBAN": (IBAN, _is_iban),
    "SSN": (SSN, _is_ssn),
    "IP": (IP, _is_ip),
    "MAC": (MAC, bool),
    "CARD": (CARD, _is_card),
}
