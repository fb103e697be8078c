"""`make new`: write a project of one's own from this tree, and prove that it works there."""

from __future__ import annotations

import importlib.util
import keyword
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from extensions.development.update import git
from foundation.errors import InvalidRequest, StorageFull, did_you_mean
from lab.project.choices import Choices, read_extensions, with_required
from lab.project.first_hour import try_first_hour
from lab.project.git import commit_all, succeeds, unpack
from lab.project.prove import prove
from lab.project.render import PROJECT, render
from serving.cli import terminal

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
ROOT = Path(__file__).resolve().parents[2]
CODE = ("foundation", "models", "retrieval", "orchestration", "serving", "observability", "extensions")


SAID = {
    "0": "Nothing is checked.",
    "1": "Then it is checked here, in about a minute.",
    "own": "Then it is tried as its owner will have it: packages, each line of its README, an answer over its API, its guards and its "
    "tests. That takes some fifteen minutes on two cores.",
}


def make_project(target: Path, choices: Choices, check: str) -> bool:
    """Write it and check it there; whether all checks passed.

    Raises:
        InvalidRequest: it cannot be written so, or there.
    """
    commit, target = _base(), _target(target)
    choices = replace(choices, name=check_name(choices.name), extensions=check_extensions(ROOT, choices.extensions))
    out = terminal.console()
    out.print(
        f"{terminal.line(choices.title)}: the six layers with {', '.join(choices.extensions)}, as committed at {commit[:12]}. {SAID[check]}"
    )
    write(target, choices, commit)
    out.print(f"It stands in {terminal.line(target)}, with {count_lines(target):,} lines of code beside its tests.")
    passed = (
        try_first_hour(target, choices.package)
        if check == "own"
        else prove(target, choices.package, check, ROOT / "weights")
    )
    if passed:
        out.print(f"Next: cd {terminal.line(target)} && make setup, and its README.md.")
    return passed


def check_name(name: str) -> str:
    """The name, if it can be that of a project, and its folder can be imported beside everything else.

    Raises:
        InvalidRequest: it cannot.
    """
    if not NAME.fullmatch(name):
        raise InvalidRequest(
            f'"{name}" is no name of a project. Use lower-case letters, digits and single hyphens, beginning with a letter: acme-desk.'
        )
    package = name.replace("-", "_")
    for reason, holds in {
        "git ignores a folder of that name here": succeeds(ROOT, "check-ignore", "--quiet", f"{package}/"),
        "Python has a module of that name already": package in sys.stdlib_module_names
        or importlib.util.find_spec(package) is not None,
        "that is a word of Python": keyword.iskeyword(package),
        "that is the name of the template": package == PROJECT,
    }.items():
        if holds:
            raise InvalidRequest(
                f'The project\'s folder would be "{package}", and {reason}. Choose another name: {name}-desk.'
            )
    return name


def check_extensions(tree: Path, names: Iterable[str]) -> tuple[str, ...]:
    """The extensions with all that they require.

    Raises:
        InvalidRequest: there is no extension of a name.
    """
    declared = read_extensions(tree)
    for name in names:
        if name not in declared:
            raise InvalidRequest(
                f'There is no extension "{name}". {did_you_mean(name, declared)} make extensions lists them.'
            )
    return tuple(with_required(names, declared))


def write(target: Path, choices: Choices, commit: str) -> None:
    """Write the whole project, or nothing.

    Raises:
        StorageFull: the disk is full, or the folder cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{choices.name}-", dir=target.parent, ignore_cleanup_errors=True
        ) as beside:
            tree, project = Path(beside, "tree"), Path(beside, "project")
            unpack(ROOT, commit, tree)
            render(tree, project, choices, commit=commit, origin=_origin())
            git(project, "init", "--quiet", "--initial-branch=main")
            commit_all(project, f"{choices.title}, from the template at {commit[:12]}")
            project.replace(target)
    except OSError as error:
        copies = error.args[0] if isinstance(error, shutil.Error) and isinstance(error.args[0], list) else []
        why = error.strerror or (
            copies[0][-1] if copies else str(error) or type(error).__name__
        )  # of a tree, shutil collects (from, to, why)
        raise StorageFull(f"The project could not be written to {target}: {why}. Nothing was left there.") from error


def count_lines(tree: Path) -> int:
    """Lines of Python in the six layers and the extensions."""
    return sum(len(path.read_bytes().splitlines()) for layer in CODE for path in (tree / layer).rglob("*.py"))


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
