"""A file of proposed golden cases, one JSON object a line; only what a person has set to `reviewed` is taken in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from foundation.errors import InvalidRequest
from observability.evaluation.datasets import lines
from observability.evaluation.golden_set import GoldenCase, load_golden, unfit


class Proposal(BaseModel):
    """One line of the file that a person goes through."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reviewed: bool = False
    rejected: bool = False
    case: dict[str, Any]
    verdict: str = ""
    note: str = ""
    said: str = ""
    """What the system had answered."""
    status: str = ""
    span: tuple[int, int] | None = None
    """Where the case's evidence stands in its document, in characters."""

    @property
    def waits(self) -> bool:
        return not (self.reviewed or self.rejected)


def write(path: Path, drafts: Sequence[Proposal]) -> None:
    """Raises:
    InvalidRequest: the file is there already: somebody may have begun to review it.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_lines(drafts))
    except FileExistsError as error:
        raise InvalidRequest(f"{path} is there already, perhaps with a review in it. Name another file: TO=") from error


def save(path: Path, drafts: Sequence[Proposal]) -> None:
    """Write the file anew, whole or not at all."""
    _replace(path, _lines(drafts))


def read_proposals(path: Path) -> list[Proposal]:
    """The proposals of a file.

    Raises:
        InvalidRequest: a line is no proposal, or a reviewed case cannot be scored; the text names the line.
    """
    drafts = []
    for number, row in lines(path, "Name the file with the proposals."):
        try:
            draft = Proposal(**row)
            case = GoldenCase(**draft.case)
        except (ValidationError, TypeError) as error:
            raise InvalidRequest(
                f"{path.name} line {number}: {error}. Correct that line; nothing was taken in."
            ) from error
        if draft.reviewed and (wrong := unfit(case)):
            raise InvalidRequest(f"{path.name} line {number}: {wrong}. Nothing was taken in.")
        drafts.append(draft)
    return drafts


def read_reviewed(path: Path) -> tuple[list[GoldenCase], int]:
    """The cases that a person has let through, and how many are still to be looked at. Raises as `read_proposals`."""
    drafts = read_proposals(path)
    return [GoldenCase(**draft.case) for draft in drafts if draft.reviewed], sum(draft.waits for draft in drafts)


def take_in(cases: Sequence[GoldenCase], golden: Path) -> None:
    """Append the cases to a golden set, all of them or none.

    Raises:
        InvalidRequest: an id is taken.
    """
    case_ids = {case.id for case in load_golden(golden)} if golden.exists() else set()
    for case in cases:
        if case.id in case_ids:
            raise InvalidRequest(
                f'{golden.name} has a case "{case.id}" already. Give it another id; nothing was taken in.'
            )
        case_ids.add(case.id)
    before = golden.read_text(encoding="utf-8") if golden.exists() else ""
    if before and not before.endswith("\n"):
        before += "\n"
    _replace(golden, before + "".join(case.model_dump_json(exclude_defaults=True) + "\n" for case in cases))


def _lines(drafts: Sequence[Proposal]) -> str:
    return "".join(json.dumps(draft.model_dump(), ensure_ascii=False) + "\n" for draft in drafts)


def _replace(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
