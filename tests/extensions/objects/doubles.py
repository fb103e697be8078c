"""A maker of objects that asks no model: a double."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from extensions.objects.objects import Objects
from foundation.types import Usage


class AlwaysTwelve(Objects):
    """Answers every question with the same object, or with a failure where the text says nothing."""

    def __init__(self) -> None:
        pass

    async def answer_as(self, schema: Any, question: str, principal: Any, *, text: str | None = None) -> Any:
        del schema, question, principal
        failed = text == "nothing"
        return {
            "answer_id": "a-1",
            "object": None if failed else {"quantity": 12},
            "failure": "insufficient_evidence" if failed else None,
            "usage": Usage(),
            "cost_usd": Decimal(0),
            "seconds": 0.1,
            "trace_id": None,
        }
