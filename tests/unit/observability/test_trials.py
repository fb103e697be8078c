"""A golden set as material: whose the documents are that it asks about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import InvalidRequest
from observability.evaluation import trials


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "corpus").mkdir()
    for name in ("fares.md", "pay.md"):
        (tmp_path / "corpus" / name).write_text(f"# {name}\n\nA single ticket costs 14.50 euros.")
    return tmp_path


def lines(path: Path, *rows: dict[str, Any]) -> None:
    path.write_text("\n".join(json.dumps(row) for row in rows))


def ask(folder: Path, *tenants: str, refused: str = "", gold: dict[str, str] | None = None) -> None:
    """A case with an answer for each tenant, with the document of `gold`, and one for `refused` that must get none."""
    question = {"question": "How much is a ticket?"}
    case = {"kind": "answerable", "answers": ["14.50"], "answerable": True, **question}
    named = {tenant: {"gold_documents": [uri]} for tenant, uri in (gold or {}).items()}
    wrong = [{"id": "w", "tenant": refused, "kind": "wrong_tenant", "answerable": False, **question}] if refused else []
    known = [
        {"id": f"c{at}", "tenant": one, **case, **named.get(one, {}), "question": f"How much is ticket {at}?"}
        for at, one in enumerate(tenants)
    ]
    lines(folder / "golden.jsonl", *known, *wrong)


def owners(folder: Path) -> dict[str, str]:
    return {one.source.uri: one.source.tenant for one in trials.material(folder).items}


@pytest.mark.parametrize("line", [[], [{"path": "pay.md", "title": "Pay"}]], ids=["no line", "a line without a tenant"])
def test_questions_of_several_tenants_need_to_know_whose_every_document_is(folder: Path, line: list[Any]) -> None:
    lines(folder / "sources.jsonl", {"path": "fares.md", "tenant": "*"}, *line)
    ask(folder, "harbour", "other")
    with pytest.raises(InvalidRequest, match=r'whose document pay\.md is, and .* harbour, other\. .*"path": "pay\.md"'):
        trials.material(folder)


def test_a_set_without_a_list_is_refused_too_and_says_how_many_lines_are_missing(folder: Path) -> None:
    ask(folder, "harbour", "other")
    with pytest.raises(InvalidRequest, match=r"whose document fares\.md is, nor of 1 more"):
        trials.material(folder, limit=1)


@pytest.mark.parametrize(
    ("gold", "owner"),
    [({"other": "pay.md"}, "other"), ({"harbour": "pay.md", "other": "pay.md"}, "TENANT"), ({}, "TENANT")],
)
def test_the_line_that_is_proposed_names_the_tenant_whose_question_needs_the_document_or_none(
    folder: Path, gold: dict[str, str], owner: str
) -> None:
    lines(folder / "sources.jsonl", {"path": "fares.md", "tenant": "*"})
    ask(folder, "harbour", "other", refused="ape", gold=gold)
    with pytest.raises(InvalidRequest, match=rf'"path": "pay\.md", "tenant": "{owner}"') as refused:
        trials.material(folder)
    assert "ape" not in str(refused.value)


def test_what_is_not_listed_is_hidden_from_a_tenant_that_must_get_no_answer(folder: Path) -> None:
    ask(folder, "harbour", "harbour", refused="ape")
    assert set(owners(folder).values()) == {"harbour"}


def test_questions_of_one_tenant_make_what_is_not_listed_its_own(folder: Path) -> None:
    lines(folder / "sources.jsonl", {"path": "fares.md", "tenant": "*"})
    ask(folder, "harbour", "harbour")
    assert owners(folder) == {"fares.md": "*", "pay.md": "harbour"}
