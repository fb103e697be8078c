"""The work of `make update`, run from the template's newest commit, so that a mistake in it is mended for projects that are made already.

    python -m lab.project.update PROJECT [--dry] [--prefer yours|template] [--add EXTENSION] --check 0|start|1|all

With --add it merges what an extension brings at the project's own commit of the template, and nothing newer. It stands in a clone of the template. The project's own `make update` has fetched that, and looked whether it can be undone.
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
from dataclasses import dataclass, replace
from pathlib import Path

from extensions.development.update import TAKING, git
from foundation.errors import Conflict, InvalidRequest, StorageFull, did_you_mean
from foundation.machine.process import catch_stop_signals
from lab.project.choices import Choices
from lab.project.git import author_for, commit_all, unpack
from lab.project.prove import prove
from lab.project.render import places_of
from serving.cli import terminal
from serving.cli.main import run

ROOT = Path(__file__).resolve().parents[2]
RENDERER = "lab.project.render"
"""Where every commit of the template has it that has extensions."""
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


def update(project: Project, *, dry: bool, prefer: str | None, check: str, add: str | None = None) -> bool:
    """Merge the template, or an extension of it, into the project, prove the result, and only then take it; whether it passed.

    Raises:
        Conflict: both changed the same lines, and nothing was preferred.
    """
    out, root = terminal.console(), project.root
    before = git(root, "rev-parse", "HEAD")
    with tempfile.TemporaryDirectory(prefix="update-") as name:
        with out.status("the project is written twice, and merged"):
            merge = merge_template(project, Path(name), prefer, add)
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
        message = f"Add the extension {add}" if add else f"Update from the template to {merge.commit[:12]}"
        commit = git(root, *author_for(root), "commit-tree", merge.tree, "-p", before, "-m", message)
        with _checked_out(root, commit, Path(name) / "merged") as folder:
            passed = prove(folder, project.choices.package, check, root / "weights", was=root)
        if passed:
            take(root, commit)
            done = f"{add} is here and on" if add else f"Updated to {merge.commit[:12]}"
            out.print(f"{done}. To undo it: git reset --hard {before[:12]}")
        else:
            out.print("It was not taken; this project is as it was.")
    return passed


def take(root: Path, commit: str) -> None:
    """Move the project to the commit. `TAKING` names it meanwhile, as git writes the files before it moves the branch."""
    git(root, "update-ref", TAKING, commit)
    try:
        git(root, "merge", "--quiet", "--ff-only", commit)
    finally:
        git(root, "update-ref", "-d", TAKING)


def read_project(folder: Path) -> Project:
    """Read what the project was made from.

    Raises:
        InvalidRequest: it was made before the template had extensions.
    """
    described = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    made = described["tool"]["sixply"]
    if "extensions" not in made:
        raise InvalidRequest(
            f"This project was made from {made['base'][:12]}, before the template was taken apart into a core and extensions, and no merge can "
            "carry it over: make a new project (make new WITH=...) and copy your folder, stack.toml and policy.toml into it. Nothing was changed."
        )
    choices = Choices(name=described["project"]["name"], extensions=tuple(made["extensions"]))
    return Project(root=folder, choices=choices, origin=made["origin"], base=made["base"])


def merge_template(project: Project, work: Path, prefer: str | None, add: str | None = None) -> Merge:
    """Merge what the template changed since the project's base, or what an extension has there, into the project's HEAD. No file of the
    project is touched.

    Raises:
        InvalidRequest: git is too old for it.
    """
    root, newest = project.root, project.base if add else git(ROOT, "rev-parse", "HEAD")
    wanted = replace(project.choices, extensions=(*project.choices.extensions, *([add] if add else [])))
    base = _render_commit(project, project.base, project.choices, work / "base")
    theirs = _render_commit(project, newest, wanted, work / "theirs")
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
    deleted = {path for path, held in stages.items() if held == "13"} | _new_in_deleted_extensions(root, base, theirs)
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


def _new_in_deleted_extensions(root: Path, base: str, theirs: str) -> set[str]:
    """Files that the template added to an extension whose folder the project deleted."""
    had, have, offered = (
        set(git(root, "ls-tree", "-r", "--name-only", tree).splitlines()) for tree in (base, "HEAD", theirs)
    )
    names = {file.split("/")[1] for file in had if file.startswith("extensions/") and file.count("/") > 1}
    deleted = [name for name in names if not _below([f"extensions/{name}"], have)]
    return _below(places_of(deleted), offered - had - have)


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


def _check_addition(project: Project, name: str) -> None:
    """Raises InvalidRequest: the template had no such extension at the project's base, or the project has it or had it."""
    there = git(ROOT, "ls-tree", "--name-only", "-d", f"{project.base}:extensions").splitlines()
    if name not in there:
        raise InvalidRequest(
            f'The template at {project.base[:12]}, which this project stands on, has no extension "{name}". {did_you_mean(name, there)} '
            "A newer one comes after make update."
        )
    if name in project.choices.extensions:
        raise InvalidRequest(
            f'This project was made with "{name}", and its folder was deleted since. git has it: '
            f"git checkout HEAD~ -- extensions/{name}, with the commit before the deletion in place of HEAD~."
        )


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


def _render_commit(project: Project, commit: str, choices: Choices, work: Path) -> str:
    """A commit in the project's repository, on no branch, of the project as this commit of the template would write it."""
    tree, folder = work / "tree", work / "project"
    work.mkdir()
    unpack(ROOT, commit, tree)
    arguments = [str(tree), str(folder), commit, project.origin, choices.name, *choices.extensions]
    done = subprocess.run(
        [sys.executable, "-m", RENDERER, *arguments],
        cwd=tree, env=os.environ | {"PYTHONPATH": str(tree)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise InvalidRequest(f"The template at {commit[:12]} could not write the project: {done.stderr.strip()[-500:]}")
    own, begun = (it / "project" / choices.package for it in (work, work.with_name("base")))
    if own != begun:  # the files that it began with are its owner's: a later start is no update
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
    parser.add_argument("--add")
    parser.add_argument("--check", choices=["0", "start", "1", "all"], required=True)
    order = parser.parse_args()

    def update_whole() -> None:
        project = read_project(order.project)
        if order.add:
            _check_addition(project, order.add)
        try:
            passed = update(project, dry=order.dry, prefer=order.prefer, check=order.check, add=order.add)
        except OSError as error:
            raise StorageFull(f"The update could not be written: {error}. This project is as it was.") from error
        except KeyboardInterrupt:
            terminal.console().print("Stopped. git log shows whether it was taken; until its last line it was not.")
            sys.exit(130)
        sys.exit(not passed)

    run(update_whole)


if __name__ == "__main__":
    main()
