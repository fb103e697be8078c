"""`sixply redteam`: attacks on the executor, on the agent, and through documents."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.errors import MissingDependency
from serving import terminal

if TYPE_CHECKING:
    from observability.redteam import Report

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv-redteam"
LOCK = ROOT / "observability" / "agentdojo.lock"


def replay(versions: list[str], limit: int | None, json: Path | None) -> bool:
    """Replay AgentDojo's attacks through the executor. Whether none got through, and the users' plans still work."""
    from observability import redteam

    reports = []
    with closing(redteam.PipedWorlds(environment())) as worlds:
        for version in versions:
            with terminal.progress() as progress, tempfile.TemporaryDirectory() as folder:
                tell = partial(progress, f"AgentDojo {version}")
                reports.append(redteam.replay(worlds, version, Path(folder), progress=tell, limit=limit))
    first, *others = (report.as_dict() for report in reports)
    if not terminal.write_json(json, {**first, "others": others}):
        _show(reports)
    return all(report.holds for report in reports)


def environment() -> Path:
    """The Python that has AgentDojo, in an environment of its own; made at first use from a hash-checked lock.

    Raises:
        MissingDependency: it cannot be made, because the package index does not answer or the disk is full.
    """
    python, stamp = VENV / "bin" / "python", VENV / "made-from"
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == digest:
        return python
    terminal.show_note(f"AgentDojo gets an environment of its own, {VENV.name}: about 300 MB, once.")
    commands = (
        [sys.executable, "-m", "venv", "--clear", str(VENV)],
        [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "-r", str(LOCK)],
    )
    for command in commands:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
            raise MissingDependency(
                f"AgentDojo could not be installed into {VENV.name}: {last[0]} Mend that and run the command again."
            )
    stamp.write_text(digest, encoding="utf-8")
    return python


def _show(reports: list[Report]) -> None:
    rows: list[list[Any]] = []
    for report in reports:
        found = report.as_dict()
        rows += [
            [
                f"{report.version} {suite}",
                one["pairs"],
                one["succeeded_ungated"],
                one["succeeded_without_approval"],
                one["benign"],
                one["benign_passed"],
                one["benign_asked"],
            ]
            for suite, one in found["suites"].items()
        ]
    terminal.show_table(
        ["suite", "attacks", "succeed ungated", "succeed here", "users' plans", "passed", "asked a person"], rows
    )
