"""`sixply new`: write a project of one's own from this tree, and prove that it works there."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from foundation.errors import InvalidRequest, StorageFull
from serving.cli import terminal
from serving.cli.options import exit_unless
from serving.cli.project.choices import Choices, check_name, check_without, read_optional
from serving.cli.project.git import commit_all, git, succeeds, unpack
from serving.cli.project.prove import CHECKS, prove
from serving.cli.project.render import render

ROOT = Path(__file__).resolve().parents[3]
LAYERS = ("foundation", "models", "retrieval", "orchestration", "serving", "observability")


def new(
    name: Annotated[str, typer.Option(help="Of the project, like acme-desk.")],
    folder: Annotated[
        Path, typer.Option("--dir", help="Where it is written; a new or an empty folder.", file_okay=False)
    ],
    *,
    without: Annotated[str, typer.Option(help="Parts of optional.toml to leave out: page,mcp,ray.")] = "",
    only: Annotated[str | None, typer.Option(help="small: leave out everything that can be.")] = None,
    check: Annotated[str, typer.Option(help="1: guards, a first answer; all: its tests as well; 0: nothing.")] = "1",
) -> None:
    """Write a new project: this tree under your name, with your starting files, without what you leave out; then check it there."""
    optional = read_optional(ROOT)
    parts = check_without([part.strip() for part in without.split(",") if part.strip()], optional, only)
    choices = Choices(name=check_name(name), without=parts)
    if check not in CHECKS:
        raise InvalidRequest(f'CHECK is 1, all or 0, and not "{check}".')
    commit, target = _base(), _target(folder)
    write(target, choices, commit)
    out = terminal.console()
    left_out = [part for part in parts if "about" in optional[part]]
    out.print(f"{terminal.line(choices.title)} stands in {terminal.line(target)}, made from {commit[:12]}.")
    out.print(
        f"It has {count_lines(target):,} lines in the six layers, of {count_lines(ROOT):,} here. Left out: {', '.join(left_out)}."
    )
    exit_unless(ok=prove(target, choices.package, check))
    out.print(f"Next: cd {terminal.line(target)} && make setup, and its README.md.")


def write(target: Path, choices: Choices, commit: str) -> None:
    """Write the whole project, or nothing.

    Raises:
        StorageFull: the disk is full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{choices.name}-", dir=target.parent))
    try:
        unpack(ROOT, commit, beside / "tree")
        project = beside / "project"
        render(beside / "tree", project, choices, commit=commit, origin=_origin())
        git(project, "init", "--quiet", "--initial-branch=main")
        commit_all(project, f"{choices.title}, from the template at {commit[:12]}")
        project.replace(target)
    except OSError as error:
        raise StorageFull(
            f"The project could not be written to {target}: {error.strerror}. Nothing was left there."
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def count_lines(tree: Path) -> int:
    """Lines of Python in the six layers."""
    return sum(len(path.read_bytes().splitlines()) for layer in LAYERS for path in (tree / layer).rglob("*.py"))


def _base() -> str:
    if (
        not succeeds(ROOT, "rev-parse", "--verify", "HEAD^{commit}")
        or Path(git(ROOT, "rev-parse", "--show-toplevel")) != ROOT
    ):
        raise InvalidRequest(
            f"{ROOT} is no checkout of git, so a project made from it could never be updated. Clone the template with git, "
            "and run make new in the clone."
        )
    return git(ROOT, "rev-parse", "HEAD")


def _origin() -> str:
    return git(ROOT, "remote", "get-url", "origin") if succeeds(ROOT, "remote", "get-url", "origin") else str(ROOT)


def _target(folder: Path) -> Path:
    target = folder.expanduser().resolve()
    if target.is_relative_to(ROOT):
        raise InvalidRequest(f"{target} stands inside of this checkout. Name a folder beside it: DIR=../{target.name}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InvalidRequest(f"{target} is there and not empty. Nothing was written. Name a new folder.")
    return target
