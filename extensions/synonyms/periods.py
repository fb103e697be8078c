"""Years and quarters of account as people and reports write them: FY2023, FY23, fiscal 2023, fiscal year 2023; Q3, third quarter."""

import re
from collections.abc import Iterator

# After these letters a number of two or four digits is a year of account, and nothing else
_YEAR = re.compile(r"(?<!\w)(?:FY|fiscal(?: year)?) ?['\u2019]?(20\d\d|\d\d)(?!\d)", re.IGNORECASE)
_QUARTER = re.compile(r"(?<!\w)(?:Q([1-4])|(first|second|third|fourth) quarter)(?!\w)", re.IGNORECASE)
_ORDINALS = ("first", "second", "third", "fourth")


def find_periods(text: str) -> Iterator[tuple[str, ...]]:
    """Yield for each year and quarter of a text the ways to write it.

    >>> list(find_periods("Revenue in Q3 of FY23?"))
    [('FY2023', 'FY23', 'FY 2023', 'FY 23', 'fiscal year 2023', 'fiscal 2023'), ('Q3', 'third quarter')]
    >>> list(find_periods("Revenue in 2023, on page 23?"))
    []
    """
    for match in _YEAR.finditer(text):
        year = match[1][-2:]
        yield (f"FY20{year}", f"FY{year}", f"FY 20{year}", f"FY {year}", f"fiscal year 20{year}", f"fiscal 20{year}")
    for match in _QUARTER.finditer(text):
        number = int(match[1]) if match[1] else _ORDINALS.index(match[2].lower()) + 1
        yield (f"Q{number}", f"{_ORDINALS[number - 1]} quarter")
