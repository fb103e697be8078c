"""What a search may be narrowed to: conditions on what is known of a document."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from retrieval import filters as where
from serving.api.schemas import Known, Name, RequestBody


class IsIn(RequestBody):
    key: Name
    values: list[Known] = Field(fail_fast=True, alias="in", min_length=1, max_length=500)

    def filter(self) -> where.Where:
        return where.OneOf(self.key, tuple(where.parse_value(value) for value in self.values))


class IsBetween(RequestBody):
    key: Name
    low: Known | None = Field(default=None, alias="from")
    high: Known | None = Field(default=None, alias="to")

    def filter(self) -> where.Where:
        ends = (None if end is None else where.parse_value(end) for end in (self.low, self.high))
        return where.Between(self.key, *ends)


class Both(RequestBody):
    parts: list[Filter] = Field(fail_fast=True, alias="all", min_length=1, max_length=50)

    def filter(self) -> where.Where:
        return where.AllOf(tuple(part.filter() for part in self.parts))


class EitherOf(RequestBody):
    parts: list[Filter] = Field(fail_fast=True, alias="any", min_length=1, max_length=50)

    def filter(self) -> where.Where:
        return where.AnyOf(tuple(part.filter() for part in self.parts))


def _condition_kind(condition: Any) -> str:
    """Which of the four it is meant to be. Trying all of them costs seconds where a large filter is wrong."""
    members = condition if isinstance(condition, dict) else {}
    return next((f"condition[{name}]" for name in ("all", "any", "in") if name in members), "condition[from]")


Filter = Annotated[
    Annotated[IsIn, Tag("condition[in]")]
    | Annotated[IsBetween, Tag("condition[from]")]
    | Annotated[Both, Tag("condition[all]")]
    | Annotated[EitherOf, Tag("condition[any]")],
    Discriminator(_condition_kind),
]

CONDITIONS, VALUES = 100, 1000
"""At most so many in one filter: a database refuses an expression that is too deep, and would seem to have failed."""


def check_size(chosen: Any) -> Any:
    """Count before anything is built: of a filter that is refused, nothing is."""
    conditions = values = 0
    waiting = [chosen]
    while waiting:
        condition = waiting.pop()
        parts = [condition.get(name) for name in ("all", "any")] if isinstance(condition, dict) else []
        if any(isinstance(part, list) for part in parts):
            waiting += [inner for part in parts if isinstance(part, list) for inner in part]
        else:
            conditions += 1
            listed = condition.get("in") if isinstance(condition, dict) else None
            values += len(listed) if isinstance(listed, list) else 0
    if conditions > CONDITIONS or values > VALUES:
        raise ValueError(
            f"must have at most {CONDITIONS} conditions and {VALUES:,} values; has {conditions:,} and {values:,}"
        )
    return chosen
