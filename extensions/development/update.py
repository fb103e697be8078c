"""`sixply update`: merge the template's changes, or an extension of it, into this project, whole or not at all."""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer

from extensions.development.paid_calls import Paid
from foundation.errors import Conflict, InvalidRequest
from serving.cli import terminal

ROOT = Path(__file__).resolve().parents[2]
# Module of the template's newest commit, in a clone of it, so that its fixes reach projects made before
UPDATER = "lab.project.update"
# Names the commit of an update while it is taken, which stays behind where that is killed
TAKING = "refs/sixply/taking"
# Seconds in which it may stop by itself
GRACE_S = 3


def update(
    *,
    source: Annotated[
        str | None, typer.Option("--from", help="Path or URL of the template; by default where this project came from.")
    ] = None,
    dry: Annotated[bool, typer.Option("--dry", help="Show what would change without changing it.")] = False,
    prefer: Annotated[
        Literal["yours", "template"] | None, typer.Option(help="Which side wins where both changed the same lines.")
    ] = None,
    check: Annotated[
        Literal["0", "1", "all"],
        typer.Option(
            help="1: lint, contract tests, a first answer, the gate; all: the whole test suite too; 0: nothing."
        ),
    ] = "1",
    paid: Paid = False,
) -> None:
    """Merge the newest template into this project, test the result, then apply it."""
    record = read_record()
    if record is None:
        raise InvalidRequest(
            "pyproject.toml has no [tool.sixply], so this is the template itself or a copy without a record of what it came from. "
            "In a clone of the template: git pull. make new writes a project that can be updated."
        )
    options = [f"--check={check}", *(["--dry"] if dry else []), *([f"--prefer={prefer}"] if prefer else [])]
    with _cloned_template(record, source) as upstream:
        if git(upstream, "rev-parse", "HEAD") == record["base"]:
            terminal.show(
                f"Up to date: the template at {source or record['origin']} is still at {record['base'][:12]}."
            )
            return
        _merge(upstream, options, {"PAID": "1"} if paid else {})


def read_record() -> dict[str, Any] | None:
    """Return what this project was made from; `None` in the template itself."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    record: dict[str, Any] | None = project.get("tool", {}).get("sixply")
    return record


def bring_extension(name: str) -> None:
    """Merge an extension of the template, as it was at this project's base, into this project: folder, tests, page, packages. In the
    template itself do nothing.
    """
    if (record := read_record()) is None:
        return
    with _cloned_template(record, None) as upstream:
        _merge(upstream, [f"--add={name}", "--check=start"])


@contextmanager
def _cloned_template(record: dict[str, Any], source: str | None) -> Iterator[Path]:
    """Yield a clone of the template. Raises Conflict: what is here could not be undone. InvalidRequest: it is another repository."""
    _demand_nothing_half_taken()
    if changed := git(ROOT, "status", "--porcelain"):
        raise Conflict(
            f"There are changes that are not committed, so this could not be undone. Commit or stash them first:\n{changed}"
        )
    with tempfile.TemporaryDirectory(prefix="template-") as name:
        upstream, base = Path(name) / "upstream", record["base"]
        terminal.show(f"The template: {(origin := source or record['origin'])}")
        git(ROOT, "clone", "--quiet", origin, str(upstream))
        try:  # before anything of it runs here
            git(upstream, "merge-base", "--is-ancestor", base, "HEAD")
        except InvalidRequest as error:
            raise InvalidRequest(
                f"The template at {origin} has no history from {base[:12]}, which this project was made from, to its newest commit: it was "
                "rewritten, or it is another repository. Name the right one with FROM=. Nothing was changed."
            ) from error
        yield upstream


def _demand_nothing_half_taken() -> None:
    """Forget the name of an update that is part of the branch. Raises Conflict: one was killed before it was."""
    head, taken = git(ROOT, "rev-parse", "HEAD"), git(ROOT, "for-each-ref", "--format=%(objectname)", TAKING)
    if not taken:
        return
    if taken == git(
        ROOT, "merge-base", taken, head
    ):  # killed later; after another commit it would seem not to be taken
        git(ROOT, "update-ref", "-d", TAKING)
        return
    raise Conflict(
        f"The last update was killed while it was taken, so some files are the update's. It was proved, and nothing is lost. Look at "
        f"git status; then finish it with git reset --hard {taken[:12]}. To go back instead, say git reset --hard {head[:12]} after "
        f"that, which takes away its new files, too. At last forget it with git update-ref -d {TAKING}. Where git says that a .lock "
        "file exists, remove it first."
    )


def _merge(upstream: Path, options: Sequence[str], more: Mapping[str, str] | None = None) -> NoReturn:
    """Run the template's newest updater. Raises Exit, with its exit status."""
    environment = os.environ | {"PYTHONPATH": str(upstream), **(more or {})}
    with subprocess.Popen(
        [sys.executable, "-m", UPDATER, str(ROOT), *options], cwd=upstream, env=environment
    ) as process:
        try:
            process.wait()
        finally:  # also of what a signal stopped: it removes its worktree first, and Ctrl-C in a terminal has reached it, too
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
            process.terminate()
            process.wait()
    raise typer.Exit(process.returncode)


def git(folder: Path, *arguments: str) -> str:
    """Return git's output without the final newline. Raises InvalidRequest: git failed, with its own message."""
    if shutil.which("git") is None:
        raise InvalidRequest("git is not installed, and a project is made and updated with it. Install git.")
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S607 - the one on the path
    if done.returncode:
        raise InvalidRequest(
            f"git {' '.join(arguments)} failed in {folder}: {(done.stderr or done.stdout).strip()[-500:]}"
        )
    return done.stdout.strip()
