"""The day that a question asks about, where it says so: "as of March 2025", "in force on 2024-11-30"."""

from __future__ import annotations

import calendar
import re
from datetime import date

_MONTHS = {name.casefold(): number for number, name in enumerate(calendar.month_name) if name}
_MONTH = "|".join(_MONTHS)
_ASKED = re.compile(
    r"\b(?:as (?:of|at)|(?:in force|valid|effective|applicable)(?: \w+)? (?:on|in|at|as of))\s+(?:the\s+)?"
    r"(?:(?P<iso>\d{4}-\d{2}-\d{2})"
    rf"|(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?(?P<month>{_MONTH}),?\s+(?P<year>\d{{4}})"
    rf"|(?P<month2>{_MONTH})\s+(?P<day2>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year2>\d{{4}})"
    rf"|(?P<month3>{_MONTH})\s+(?P<year3>\d{{4}})"
    r"|(?P<year4>\d{4})\b)",
    re.IGNORECASE,
)


def parse_as_of(question: str) -> date | None:
    """The day as of which somebody explicitly asks; of a month or a year its last. `None` means today: a year that only
    stands in a question ("the price list of 2024") asks about what is in force.

    >>> parse_as_of("What was the return window as of March 2025?")
    datetime.date(2025, 3, 31)
    >>> parse_as_of("Which warranty was in force on 3 May 2024?")
    datetime.date(2024, 5, 3)
    >>> parse_as_of("What did we order in 2024?")
    """
    match = _ASKED.search(question)
    if match is None:
        return None
    groups = match.groupdict()
    try:
        if groups["iso"]:
            return date.fromisoformat(groups["iso"])
        year = int(groups["year"] or groups["year2"] or groups["year3"] or groups["year4"])
        month = _MONTHS[(groups["month"] or groups["month2"] or groups["month3"] or "december").casefold()]
        day = groups["day"] or groups["day2"] or calendar.monthrange(year, month)[1]
        return date(year, month, int(day))
    except ValueError:  # the 31st of February
        return None
