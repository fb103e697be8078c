"""The work of `make update`, run from the template's newest commit, so that a mistake in it is mended for projects that are made already.

    python -m lab.project.update PROJECT [--dry] [--prefer yours|template] --check 0|1|all

It stands in a clone of the template. The project's own `make update` has fetched that, and looked whether it can be undone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from foundation.errors import Conflict, InvalidRequest, StorageFull
from foundation.machine.process import catch_stop_signals
from lab.project.choices import Choices
from lab.project.git import author_for, commit_all, unpack
from lab.project.prove import prove
from serving.cli import terminal
from serving.cli.main import run
from serving.cli.project.update import TAKING, git

ROOT = Path(__file__).resolve().parents[2]
RENDERER = "serving.cli.project.render"
"""Where every commit of the template has it."""
LISTED = 20


@dataclass(frozen=True, kw_only=True)
class Project:
    """A project as its pyproject.toml describes it."""

    root: Path
    choices: Choices
    origin: str
    base: str


@dataclass(frozen=True, kw_only=True)
class Merge:
    """What a three-way merge made: a tree of the project's repository, and the files of both sides."""

    tree: str
    commit: str
    """Of the template."""
    theirs: frozenset[str]
    ours: frozenset[str]
    conflicts: tuple[str, ...]
    deleted: frozenset[str]
    """What the project deleted, or a new file of a part that it deleted: it stays deleted."""


def update(project: Project, *, dry: bool, prefer: str | None, check: str) -> bool:
    """Merge the template into the project, prove the result, and only then take it; whether it passed.

    Raises:
        Conflict: both changed the same lines, and nothing was preferred.
    """
    out, root = terminal.console(), project.root
    before = git(root, "rev-parse", "HEAD")
    with tempfile.TemporaryDirectory(prefix="update-") as name:
        with out.status("the project is written twice, and merged"):
            merge = merge_template(project, Path(name), prefer)
        show_merge(merge, project.base)
        if merge.conflicts:
            raise Conflict(
                f"You and the template changed the same lines of {', '.join(merge.conflicts)}, or it deleted what you changed. Nothing was "
                "changed here. Say PREFER=yours or PREFER=template, or take the template's change into these files by hand, commit, and "
                "update again."
            )
        if dry:
            out.print("Nothing was changed. To take it, say the same without DRY=1.")
            return True
        message = f"Update from the template to {merge.commit[:12]}"
        commit = git(root, *author_for(root), "commit-tree", merge.tree, "-p", before, "-m", message)
        with _checked_out(root, commit, Path(name) / "merged") as folder:
            passed = prove(folder, project.choices.package, check, root / "weights", was=root)
        if passed:
            take(root, commit)
            out.print(f"Updated to {merge.commit[:12]}. To undo it: git reset --hard {before[:12]}")
        else:
            out.print("The update was not taken; this project is as it was.")
    return passed


def take(root: Path, commit: str) -> None:
    """Move the project to the commit. `TAKING` names it meanwhile, as git writes the files before it moves the branch."""
    git(root, "update-ref", TAKING, commit)
    try:
        git(root, "merge", "--quiet", "--ff-only", commit)
    finally:
        git(root, "update-ref", "-d", TAKING)


def read_project(folder: Path) -> Project:
    """Read what the project was made from."""
    described = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    made = described["tool"]["sixply"]
    choices = Choices(
        name=described["project"]["name"],
        without=tuple(made["without"]),
        only=made.get("only"),
        keep=tuple(made.get("keep", ())),
    )
    return Project(root=folder, choices=choices, origin=made["origin"], base=made["base"])


def merge_template(project: Project, work: Path, prefer: str | None) -> Merge:
    """Merge what the template changed since the project's base into the project's HEAD. No file of the project is touched.

    Raises:
        InvalidRequest: git is too old for it.
    """
    root, newest = project.root, git(ROOT, "rev-parse", "HEAD")
    base, theirs = (_render_commit(project, commit, work) for commit in (project.base, newest))
    side = [] if prefer is None else ["-X", "ours" if prefer == "yours" else "theirs"]
    merged = subprocess.run(
        ["git", "merge-tree", "--write-tree", "-z", "--no-messages", *side, f"--merge-base={base}", "HEAD", theirs],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if merged.returncode > 1:
        raise InvalidRequest(
            f"git could not merge (it must be 2.43 or newer): {merged.stderr.strip()}. Nothing was changed."
        )
    tree, *entries = filter(None, merged.stdout.split("\0"))
    stages: dict[str, str] = {}
    for about, _, path in (entry.partition("\t") for entry in entries):
        stages[path] = stages.get(path, "") + about[-1]  # 1: the base, 2: the project, 3: the template
    deleted = {path for path, held in stages.items() if held == "13"} | _new_in_deleted_parts(root, base, theirs)
    deleted_there = {path for path, held in stages.items() if held == "12"}
    gone = deleted | (deleted_there if prefer == "template" else set())
    return Merge(
        tree=_remove_from_tree(root, tree, gone, work / "index") if gone else tree,
        commit=newest,
        theirs=frozenset(git(root, "diff", "--name-only", base, theirs).splitlines()),
        ours=frozenset(git(root, "diff", "--name-only", base, "HEAD").splitlines()),
        conflicts=tuple(sorted(stages.keys() - deleted - (deleted_there if prefer else set()))),
        deleted=frozenset(deleted),
    )


def _new_in_deleted_parts(root: Path, base: str, theirs: str) -> set[str]:
    """Files that the template added to a section of optional.toml whose paths the project deleted, all of them."""
    had, have, offered = (
        set(git(root, "ls-tree", "-r", "--name-only", tree).splitlines()) for tree in (base, "HEAD", theirs)
    )
    before, after = (tomllib.loads(git(root, "show", f"{tree}:optional.toml")) for tree in (base, theirs))
    deleted = [name for name, part in before.items() if _below(part["paths"], had) and not _below(part["paths"], have)]
    parts = [after[name] for name in deleted if name in after]
    places = [path for part in parts for path in (*part["paths"], *part["tests"])]
    return _below(places, offered - had - have)


def _below(places: Iterable[str], files: Iterable[str]) -> set[str]:
    """Those of the files that are one of these, or stand in one of these folders."""
    starts = tuple(f"{place}/" for place in places)
    return {file for file in files if f"{file}/".startswith(starts)}


def _remove_from_tree(root: Path, tree: str, files: Iterable[str], index: Path) -> str:
    """The tree of the repository without these files, made in an index of its own."""
    environment = os.environ | {"GIT_INDEX_FILE": str(index)}
    for arguments in (["read-tree", tree], ["update-index", "-z", "--force-remove", "--stdin"], ["write-tree"]):
        done = subprocess.run(["git", *arguments], cwd=root, env=environment, input="\0".join(files),
                              capture_output=True, text=True, check=False)  # fmt: skip
        if done.returncode:
            raise InvalidRequest(
                f"git {arguments[0]} failed in {root}: {done.stderr.strip()[-500:]}. Nothing was changed."
            )
    return done.stdout.strip()


def show_merge(merge: Merge, base: str) -> None:
    """Print what is new, what is yours, and what both changed."""
    out = terminal.console()
    out.print(f"From {base[:12]} to {merge.commit[:12]}")
    for about, files in (
        ("changed in the template", merge.theirs - merge.ours - merge.deleted),
        ("changed by you", merge.ours - merge.theirs),
        ("changed by both, and merged", merge.ours & merge.theirs - set(merge.conflicts) - merge.deleted),
        ("deleted by you, and not brought back", merge.deleted),
        ("changed by both in the same lines, or deleted there", set(merge.conflicts)),
    ):
        out.print(f"  {len(files)} {about}")
        out.print(
            *(f"    {terminal.line(file)}" for file in sorted(files)[:LISTED]), sep="\n", end="\n" if files else ""
        )
        if len(files) > LISTED:
            out.print(f"    and {len(files) - LISTED} more")


def _render_commit(project: Project, commit: str, work: Path) -> str:
    """A commit in the project's repository, on no branch, of the project as this commit of the template would write it."""
    tree, folder = work / commit, work / f"{commit}.project"
    unpack(ROOT, commit, tree)
    arguments = [str(tree), str(folder), commit, project.origin, project.choices.name, *project.choices.words]
    done = subprocess.run(
        [sys.executable, "-m", RENDERER, *arguments],
        cwd=tree, env=os.environ | {"PYTHONPATH": str(tree)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise InvalidRequest(f"The template at {commit[:12]} could not write the project: {done.stderr.strip()[-500:]}")
    own, begun = (work / f"{name}.project" / project.choices.package for name in (commit, project.base))
    if own != begun and begun.exists():  # the files that it began with are its owner's: a later start is no update
        shutil.rmtree(own, ignore_errors=True)
        shutil.copytree(begun, own)
    git(folder, "init", "--quiet")
    rendered = commit_all(folder, f"The template at {commit[:12]}")
    git(project.root, "fetch", "--quiet", "--no-tags", str(folder), "HEAD")
    return rendered


@contextmanager
def _checked_out(root: Path, commit: str, folder: Path) -> Iterator[Path]:
    git(root, "worktree", "add", "--quiet", "--detach", str(folder), commit)
    try:
        yield folder
    finally:
        catch_stop_signals(lambda *_: None)  # whoever stops us twice would leave the worktree behind
        git(root, "worktree", "remove", "--force", str(folder))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("project", type=Path)
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--prefer", choices=["yours", "template"])
    parser.add_argument("--check", choices=["0", "1", "all"], required=True)
    order = parser.parse_args()
    project = read_project(order.project)

    def update_whole() -> None:
        try:
            passed = update(project, dry=order.dry, prefer=order.prefer, check=order.check)
        except OSError as error:
            raise StorageFull(f"The update could not be written: {error}. This project is as it was.") from error
        except KeyboardInterrupt:
            terminal.console().print(
                "Stopped. git log shows whether the update was taken; until its last line it was not."
            )
            sys.exit(130)
        sys.exit(not passed)

    run(update_whole)


if __name__ == "__main__":
    main()
