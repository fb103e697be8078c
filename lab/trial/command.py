"""`make assistant-trial TASK=... CMD=...`: a fresh copy of the committed tree, an assistant's command line in it, and a verdict.

The assistant has AGENTS.md and the skills of the tree, and the text of the task on standard input and in the file $TASK. It runs with
your rights; one that you do not trust belongs into a container.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from extensions.development.update import git
from foundation.errors import InvalidRequest, did_you_mean
from foundation.settings import read_toml
from lab.project.git import commit_all, unpack
from lab.trial import guards
from serving.cli import terminal

ROOT = Path(__file__).parents[2]
TASKS = Path(__file__).with_name("tasks")
LENT = (".venv", "weights")
SET_UP = '-c \'import subprocess, sys; sys.exit(subprocess.call(["make", "_dev", f"PYTHON={sys.executable}"]))\''
"""What makes a copy an environment of its own, from its lock."""
CHECK = (
    "-m ruff check .",
    "-m ruff format --check .",
    "-m mypy",
    "-c 'from importlinter.cli import lint_imports_command as run; run()'",
)
"""As `make check`, with the Python of the copy's environment."""
COLUMNS = ("task", "assistant", "passed", "minutes", "dollars", "refused_because")


class Task(BaseModel):
    """A file in tasks/."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    text: str
    port: str = ""
    """Whose contracts must be kept, with the adapter `name`."""
    name: str = ""
    tests: tuple[str, ...] = ()
    """Tests that must pass: files or folders."""
    commands: tuple[str, ...] = ()
    """What else must exit with 0, as arguments of Python: the gate, a swap report."""
    check: bool = True
    """Whether lint, types and layers must hold."""
    may_change: tuple[str, ...] = ()
    """Protected files that are part of the task."""

    @property
    def installs(self) -> bool:
        """Whether a package may be added: the copy then has an environment of its own, or this tree's would lose its lock."""
        return "pyproject.toml" in self.may_change

    @property
    def steps(self) -> Iterator[tuple[str, str]]:
        """What decides: its name, and the arguments of Python."""
        if self.port:
            yield "contracts", f"-m serving.cli contracts --port {self.port} --name {self.name}"
        if self.check:
            yield from (("check", command) for command in CHECK)
        if self.tests:
            yield "tests", f"-m pytest -q -x -p no:cacheprovider {' '.join(self.tests)}"
        yield from (("command", command) for command in self.commands)


def read_task(name: str) -> Task:
    """A task by its file, or by its name in tasks/.

    Raises:
        InvalidRequest: there is none, or it does not fit.
    """
    path = Path(name) if name.endswith(".toml") else TASKS / f"{name}.toml"
    if not path.is_file():
        raise InvalidRequest(f'No task "{name}". {did_you_mean(name, [file.stem for file in TASKS.glob("*.toml")])}')
    try:
        return Task(**read_toml(path))
    except ValidationError as error:
        raise InvalidRequest(f"{path} is no task: {error.errors()[0]['loc']} {error.errors()[0]['msg']}.") from error


def try_assistant(
    task: Task, command: str, *, assistant: str, minutes: float, python: str = sys.executable
) -> dict[str, Any]:
    """The row of the table: whether it did the task, and if not what was refused."""
    with _copy(task, python) as (folder, base):
        started_s = time.monotonic()
        said = _run(command, folder, task, minutes)
        row = {"task": task.title, "assistant": assistant, "minutes": round((time.monotonic() - started_s) / 60, 2)}
        refused = f"it was not done after {minutes:g} minutes" if said is None else _judge(task, folder, base, python)
        return row | {"passed": not refused, "dollars": _dollars(said or ""), "refused_because": refused}


@contextmanager
def _copy(task: Task, python: str) -> Iterator[tuple[Path, str]]:
    """The committed tree in a repository of its own, set up."""
    with tempfile.TemporaryDirectory(prefix="trial-") as home:
        folder = Path(home) / "tree"
        unpack(ROOT, "HEAD", folder)
        git(folder, "init", "--quiet")
        for name in LENT[task.installs :]:
            (folder / name).symlink_to((ROOT / name).resolve())
        (folder / ".git" / "info" / "exclude").write_text("\n".join((*LENT, "var")) + "\n", encoding="utf-8")
        base = commit_all(folder, "The tree as it was given")
        if task.installs and (failed := _fails(python, SET_UP, folder)):
            raise InvalidRequest(f"The copy could not be set up: {failed}. See that `make setup` works here.")
        yield folder, base


def _run(command: str, folder: Path, task: Task, minutes: float) -> str | None:
    """What it said; nothing where it was stopped, with all that it had started."""
    text = folder.parent / "task.md"
    text.write_text(f"# {task.title}\n\n{task.text}\n\nRead AGENTS.md first.\n", encoding="utf-8")
    with text.open("rb") as given, (folder.parent / "said.txt").open("w+b") as said:
        process = subprocess.Popen(
            shlex.split(command), cwd=folder, stdin=given, stdout=said, stderr=subprocess.STDOUT,
            env={**os.environ, "TASK": str(text)}, start_new_session=True,
        )  # fmt: skip
        try:
            process.wait(minutes * 60)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        said.seek(0)
        return said.read().decode(errors="replace")


def _judge(task: Task, folder: Path, base: str, python: str) -> str:
    """What is wrong with the work; nothing where it counts."""
    git(folder, "add", "--all")
    if not git(folder, "diff", "--cached", "--name-only", base):
        return "nothing was changed"
    if wrong := next(guards.wrongs(folder, base, task.may_change), ""):
        return wrong
    if task.installs:
        # Anew, so that a package which stands in no lock is missing here too
        _remove(folder / ".venv")
        if failed := _fails(python, SET_UP, folder):
            return f"set-up failed: {failed}"
        python = str(folder / ".venv" / "bin" / "python")
    for name, arguments in task.steps:
        if failed := _fails(python, arguments, folder):
            return f"{name} failed: {failed}"
    return ""


def _remove(path: Path) -> None:
    """A folder, or what was put in its place; where a link leads stays."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def _fails(python: str, arguments: str, folder: Path) -> str:
    """The last line of what it said where it failed, else nothing."""
    done = subprocess.run(
        [python, *shlex.split(arguments)], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(folder), "SIXPLY__FOUNDATION__DATA_DIR": str(folder / "var")},
    )  # fmt: skip
    last = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-1:] or ["it said nothing"]
    return last[0][:300] if done.returncode else ""


def _dollars(said: str) -> float | None:
    """What the assistant says that it cost: `"total_cost_usd": 0.12` in JSON, or a line such as `Total cost: $0.12`."""
    found = re.findall(r'(?:"(?:total_)?cost_usd"\s*:\s*|\bcost\b[^\n$]*\$\s?)(\d+(?:\.\d+)?)', said, re.IGNORECASE)
    return float(found[-1]) if found else None


def append_row(table: Path, row: dict[str, Any]) -> list[dict[str, Any]]:
    """Add it to the JSON file, and write the same as Markdown beside it; gives all rows."""
    rows: list[dict[str, Any]] = json.loads(table.read_text(encoding="utf-8")) if table.exists() else []
    rows.append(row)
    terminal.write_text(table, json.dumps(rows, indent=2) + "\n")
    cells = [COLUMNS, ["---"] * len(COLUMNS), *([str(row[name]).replace("|", "/") for name in COLUMNS] for row in rows)]
    terminal.write_text(table.with_suffix(".md"), "".join(f"| {' | '.join(line)} |\n" for line in cells))
    return rows
