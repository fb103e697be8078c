"""What filters mean, as cases that every ledger and every vector index has to agree on with `retrieval.filters.matches`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

from retrieval.filters import AllOf, AnyOf, Between, OneOf, Value, Where, equals

STRANGE = (
    "a' OR 1=1; --",
    "$or",
    "a.b[0]",
    'a"b',
    "漢字 🙂",
    "a:b",
    "%s",
    "{x}",
    " ",
    "published; DROP TABLE documents",
)
"""Names and values that a caller may send. They are data, whatever they look like."""

KNOWN: Mapping[str, Mapping[str, Value]] = {
    "printer": {"product": "QL-20", "pages": 12, "price": 99.5, "draft": False, "day": date(2026, 1, 15)},
    "scanner": {"product": "QS-1", "pages": 3, "price": 250, "draft": True, "day": date(2025, 6, 30)},
    "folio": {"product": "QL-20", "pages": 40, "price": -1.25},
    "number as text": {"pages": "12", "draft": "false", "day": "2026-01-15", "price": 1},
    "bare": {},
    **{f"strange {name}": {name: name} for name in STRANGE},
}
"""Documents by name, with what is known of each."""

QL = equals("product", "QL-20")
CASES: Mapping[str, tuple[Where, set[str]]] = {
    "equality": (QL, {"printer", "folio"}),
    "equality of numbers, whole or not": (AnyOf((equals("pages", 12.0), equals("price", 250.0))), {"printer", "scanner"}),
    "equality of truth": (equals("draft", value=False), {"printer"}),
    "a number is no truth, nor a text": (AnyOf((equals("draft", 0), equals("pages", "3"))), set()),
    "equality of days": (equals("day", date(2026, 1, 15)), {"printer"}),
    "case counts": (equals("product", "ql-20"), set()),
    "one of": (OneOf("product", ("QS-1", "QL-20", "none")), {"printer", "scanner", "folio"}),
    "one of numbers": (OneOf("pages", (3, 40)), {"scanner", "folio"}),
    "one of nothing": (OneOf("product", ()), set()),
    "a range": (Between("pages", 3, 12), {"printer", "scanner"}),
    "a range below zero": (Between("price", high=0), {"folio"}),
    "an open range": (Between("price", low=99.5), {"printer", "scanner"}),
    "a range of days": (Between("day", date(2026, 1, 1), date(2026, 12, 31)), {"printer"}),
    "an empty range": (Between("pages", 13, 12), set()),
    "a missing name never matches": (AnyOf((equals("nothing", "x"), Between("nothing", high=1e9))), set()),
    "all of": (AllOf((QL, Between("pages", low=20))), {"folio"}),
    "any of": (AnyOf((equals("product", "QS-1"), Between("pages", low=20))), {"scanner", "folio"}),
    "all of nothing": (AllOf(()), set(KNOWN)),
    "any of nothing": (AnyOf(()), set()),
    "nested": (
        AllOf((AnyOf((QL, equals("draft", value=True))), AnyOf((AllOf((Between("price", low=0), QL)), Between("pages", 0, 5))))),
        {"printer", "scanner"},
    ),
    "nested with parts that decide nothing": (AllOf((AnyOf((AllOf(()), AnyOf(()))), AnyOf((QL,)))), {"printer", "folio"}),
    **{f"a strange name, {name}": (equals(name, name), {f"strange {name}"}) for name in STRANGE},
}  # fmt: skip


def disagreements(found: Mapping[str, set[str]]) -> Iterator[str]:
    """In words, each case in which something else was found."""
    for case, (_, expected) in CASES.items():
        if found[case] != expected:
            yield f"{case}: found {sorted(found[case])} instead of {sorted(expected)}"
