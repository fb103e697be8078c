"""The day that a question explicitly asks about: "as of March 2025", "in force on 2024-11-30"."""

import calendar
import re
from datetime import date

from foundation.text.lexical import MONTHS
from orchestration.language.text_values import read_dates

_ASKED = re.compile(
    r"\b(?:as (?:of|at)|(?:in force|valid|effective|applicable)(?: \w+)? (?:on|in|at|as of))\s+(?:the\s+)?",
    re.IGNORECASE,
)
_MONTH_OR_YEAR = re.compile(rf"(?:({'|'.join(MONTHS)})\s+)?([1-9]\d{{3}})\b(?!-)", re.IGNORECASE)


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
        day = next(read_dates(said, with_time=False), None)
        if day and day.start == 0:
            return date.fromisoformat(day.value)
        if match := _MONTH_OR_YEAR.match(said):
            month = MONTHS.index((match[1] or "december").lower()) + 1
            return date(int(match[2]), month, calendar.monthrange(int(match[2]), month)[1])
    return None
