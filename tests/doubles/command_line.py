"""A program run in this process on a stack of the test's own, and the documents that it is run on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.doubles import stacks

ROOT = Path(__file__).parents[2]
MORE = """
[orchestration.answers]
compose = "extractive"
[[observability.exporters]]
use = "sqlite"
"""
FACTS = {"moon": "The moon lamp runs for nine hours.", "sun": "The sun lamp weighs two kilograms."}


def runner(
    program: Callable[[], object],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    extensions: Sequence[str] = (),
    chat: str = 'use = "scripted"',
) -> Callable[..., Any]:
    """Run a command of the program; gives what it wrote as JSON, or its text."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("serving.cli.main._quiet", lambda: None)  # it is for a whole process
    stack = stacks.stack(folder, MORE, extensions=extensions, chat=chat)

    def run(*arguments: str, status: int = 0, json_too: bool = True) -> Any:
        extra = ["--json", "-"] if json_too else []
        extra += [] if "--stack" in arguments else ["--stack", str(stack)]
        monkeypatch.setattr("sys.argv", ["sixply", *arguments, *extra])
        with pytest.raises(SystemExit) as end:
            program()
        out, err = capsys.readouterr()
        assert (end.value.code or 0) == status, out + err
        return json.loads(out) if json_too and status != 2 else out + err

    return run


def write_documents(folder: Path) -> Path:
    """Documents, and the same in BEIR layout."""
    documents = folder / "documents"
    (folder / "data" / "qrels").mkdir(parents=True)
    documents.mkdir()
    for name, fact in FACTS.items():
        (documents / f"{name}.md").write_text(f"# The {name} lamp\n\n{fact}\n")
    (documents / "broken.pdf").write_bytes(b"no document")
    lines: dict[str, list[dict[str, Any]]] = {
        "corpus.jsonl": [{"_id": name, "title": name, "text": fact} for name, fact in FACTS.items()],
        "queries.jsonl": [{"_id": f"q-{name}", "text": f"{name} lamp"} for name in FACTS],
        "qa.jsonl": [
            {"id": "1", "question": "How long does the moon lamp run?", "answers": ["nine hours"], "doc_ids": ["moon"],
             "answerable": True},
        ],
    }  # fmt: skip
    for name, rows in lines.items():
        (folder / "data" / name).write_text("\n".join(json.dumps(row) for row in rows))
    judged = "\n".join(f"q-{name}\t{name}\t1" for name in FACTS)
    (folder / "data" / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}\n")
    return folder


def commands(group: Any, *path: str) -> list[tuple[tuple[str, ...], Any]]:
    """Every command of a program, with those of its groups."""
    found = []
    for name, command in group.commands.items():
        found.append(((*path, name), command))
        if hasattr(command, "commands"):
            found += commands(command, *path, name)
    return found
