"""The day that a question explicitly asks about: "as of March 2025", "in force on 2024-11-30"."""

import calendar
import re
from datetime import date

_MONTHS = "january february march april may june july august september october november december".split()  # noqa: SIM905 - a word list reads as text
_SHORT_MONTHS = [month[:3] for month in _MONTHS]
_ASKED = re.compile(
    r"\b(?:as (?:of|at)|(?:in force|valid|effective|applicable)(?: \w+)? (?:on|in|at|as of))\s+(?:the\s+)?",
    re.IGNORECASE,
)
_MONTH = rf"(?:{'|'.join(_SHORT_MONTHS)})[a-z]*\.?"
_DATE = re.compile(
    rf"\d{{4}}-\d\d-\d\d\b|\d{{1,2}}(?:st|nd|rd|th)?\.? (?:of )?{_MONTH},? \d{{4}}\b|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}\b",
    re.IGNORECASE,
)
_MONTH_OR_YEAR = re.compile(rf"(?:({'|'.join(_MONTHS)})\s+)?([1-9]\d{{3}})\b(?!-)", re.IGNORECASE)


def parse_as_of(question: str) -> date | None:
    """Return the day as of which a question asks; of a month or a year the last one. `None`: today. A year that is
    merely named ("the price list of 2024") asks about what is in force today.

    >>> parse_as_of("What was the return window as of March 2025?")
    datetime.date(2025, 3, 31)
    >>> parse_as_of("Which warranty was in force on 3 May 2024?")
    datetime.date(2024, 5, 3)
    >>> parse_as_of("What did we order in 2024?")
    """
    for asked in _ASKED.finditer(question):
        said = question[asked.end() : asked.end() + 40]
        if (written := _DATE.match(said)) and (day := _date_of(written[0])):
            return day
        if match := _MONTH_OR_YEAR.match(said):
            month = _MONTHS.index((match[1] or "december").lower()) + 1
            return date(int(match[2]), month, calendar.monthrange(int(match[2]), month)[1])
    return None


def _date_of(text: str) -> date | None:
    try:
        if re.match(r"\d{4}-", text):
            return date.fromisoformat(text)
        day, year = re.findall(r"\d+", text)
        month = re.search("|".join(_SHORT_MONTHS), text, re.IGNORECASE)
        return date(int(year), _SHORT_MONTHS.index(month[0].lower()) + 1 if month else 0, int(day))
    except ValueError:
        return None
