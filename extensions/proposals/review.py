"""Files of proposed golden cases, one JSON object per line. Only lines with `reviewed` set by a person are accepted."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from foundation.errors import InvalidRequest
from foundation.settings import Section
from observability.evaluation.golden_set import GoldenCase, find_repeat, read_known_cases, unfit
from observability.evaluation.questions import lines


class Proposal(Section):
    """One proposed case, for review by a person."""

    reviewed: bool = False
    rejected: bool = False
    case: dict[str, Any]
    verdict: str = ""
    note: str = ""
    said: str = ""
    """The system's answer."""
    status: str = ""
    span: tuple[int, int] | None = None
    """Place of the evidence in its document, in characters."""

    @property
    def waits(self) -> bool:
        return not (self.reviewed or self.rejected)


def write(path: Path, drafts: Sequence[Proposal]) -> None:
    """Write a new file. Raises InvalidRequest: the file exists, and somebody may have begun to review it."""
    if path.exists():
        raise InvalidRequest(f"{path} is there already, perhaps with a review in it. Name another file: TO=")
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, drafts)


def save(path: Path, drafts: Sequence[Proposal]) -> None:
    """Replace the file, whole or not at all."""
    _replace(path, "".join(json.dumps(draft.model_dump(), ensure_ascii=False) + "\n" for draft in drafts))


def read_proposals(path: Path) -> list[Proposal]:
    """Read proposals. Raises InvalidRequest, naming the line: one is no proposal, or a reviewed case can never pass."""
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
    """Return the reviewed cases, and the number still to review. Raises as `read_proposals`."""
    drafts = read_proposals(path)
    return [GoldenCase(**draft.case) for draft in drafts if draft.reviewed], sum(draft.waits for draft in drafts)


def take_in(cases: Sequence[GoldenCase], golden: Path) -> None:
    """Append the cases to a golden set, all or none. Raises InvalidRequest: an id or a question is there already."""
    seen: dict[object, str] = {}
    for case in (*read_known_cases(golden), *cases):
        if wrong := find_repeat(case, seen):
            raise InvalidRequest(f"{golden.name}: {wrong}. Change or reject it; nothing was taken in.")
    before = golden.read_text(encoding="utf-8") if golden.exists() else ""
    if before and not before.endswith("\n"):
        before += "\n"
    _replace(golden, before + "".join(case.model_dump_json(exclude_defaults=True) + "\n" for case in cases))


def _replace(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
