"""`sixply update`: take in what the template has learned since, merged with what you changed; all of it or nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from foundation.errors import Conflict, InvalidRequest
from serving.cli import terminal
from serving.cli.options import exit_unless
from serving.cli.project.git import author_for, commit_all, git, succeeds, unpack

ROOT = Path(__file__).resolve().parents[3]
LISTED = 20


@dataclass(frozen=True, kw_only=True)
class Project:
    """A project as its pyproject.toml describes it."""

    name: str
    words: tuple[str, ...]
    """What was left out and kept, as the renderer takes it: `page` is left out, `+page` kept, `=small` the preset."""
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


def update(
    *,
    source: Annotated[
        str | None, typer.Option("--from", help="The template: a path or an address; else where it came from.")
    ] = None,
    dry: Annotated[bool, typer.Option("--dry", help="Say what would change, and change nothing.")] = False,
    prefer: Annotated[
        Literal["yours", "template"] | None, typer.Option(help="Whose lines to take where both changed the same ones.")
    ] = None,
    check: Annotated[
        Literal["0", "1", "all"],
        typer.Option(help="1: guards, a first answer, the gate; all: the tests as well; 0: nothing."),
    ] = "1",
) -> None:
    """Merge the newest commit of the template into this project, prove the result, and only then take it."""
    project = read_project(ROOT)
    before = git(ROOT, "rev-parse", "HEAD")
    if changed := git(ROOT, "status", "--porcelain"):
        raise Conflict(
            f"There are changes that are not committed, so an update could not be undone. Commit or stash them first:\n{changed}"
        )
    out = terminal.console()
    with tempfile.TemporaryDirectory(prefix="update-") as name:
        upstream = fetch_template(project, source or project.origin, Path(name))
        if git(upstream, "rev-parse", "HEAD") == project.base:
            out.print(f"Up to date: the template is still at {project.base[:12]}.")
            return
        merge = merge_template(ROOT, project, upstream, Path(name), prefer)
        show_merge(merge, project.base)
        if merge.conflicts:
            raise Conflict(
                f"You and the template changed the same lines of {', '.join(merge.conflicts)}. Nothing was changed here. Say PREFER=yours or "
                "PREFER=template, or take the template's change into these files by hand, commit, and update again."
            )
        if dry:
            out.print("Nothing was changed. To take it: make update")
            return
        commit = git(
            ROOT,
            *author_for(ROOT),
            "commit-tree",
            merge.tree,
            "-p",
            before,
            "-m",
            f"Update from the template to {merge.commit[:12]}",
        )
        with _checked_out(ROOT, commit, Path(name) / "merged") as folder:
            passed = _proves(Path(name) / merge.commit, folder, project.name.replace("-", "_"), check)
        if passed:
            git(ROOT, "merge", "--quiet", "--ff-only", commit)
            out.print(f"Updated to {merge.commit[:12]}. To undo it: git reset --hard {before[:12]}")
        else:
            out.print("The update was not taken; this project is as it was.")
    exit_unless(ok=passed)


def read_project(folder: Path) -> Project:
    """Read what the project was made from.

    Raises:
        InvalidRequest: it was not made by `make new`.
    """
    described = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    made = described.get("tool", {}).get("sixply")
    if made is None:
        raise InvalidRequest(
            "pyproject.toml has no [tool.sixply], so this is the template itself or a copy without a record of what it came from. "
            "In a clone of the template: git pull. make new writes a project that can be updated."
        )
    words = (*made["without"], *(f"+{part}" for part in made.get("keep", ())))
    words += (f"={made['only']}",) if "only" in made else ()
    return Project(name=described["project"]["name"], words=words, origin=made["origin"], base=made["base"])


def fetch_template(project: Project, source: str, work: Path) -> Path:
    """Clone the template into the folder `work`.

    Raises:
        InvalidRequest: it cannot be read, or its history was rewritten.
    """
    upstream = work / "upstream"
    git(work, "clone", "--quiet", "--no-checkout", source, str(upstream))
    if not succeeds(upstream, "merge-base", "--is-ancestor", project.base, "HEAD"):
        raise InvalidRequest(
            f"The template at {source} has no history from {project.base[:12]}, which this project was made from, to its newest commit: it was "
            "rewritten, or it is another repository. Name the right one with FROM=. Nothing was changed."
        )
    return upstream


def merge_template(root: Path, project: Project, upstream: Path, work: Path, prefer: str | None) -> Merge:
    """Merge what the template changed since the project's base into the project's HEAD. No file of the project is touched.

    Raises:
        InvalidRequest: git is too old for it.
    """
    newest = git(upstream, "rev-parse", "HEAD")
    base, theirs = (_render_commit(root, upstream, project, commit, work) for commit in (project.base, newest))
    side = [] if prefer is None else ["-X", "ours" if prefer == "yours" else "theirs"]
    merged = subprocess.run(
        ["git", "merge-tree", "--write-tree", "--name-only", "--no-messages", *side, f"--merge-base={base}", "HEAD", theirs],  # noqa: S607
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if merged.returncode > 1:
        raise InvalidRequest(
            f"git could not merge (it must be 2.43 or newer): {merged.stderr.strip()}. Nothing was changed."
        )
    tree, *conflicts = merged.stdout.split("\n")
    return Merge(
        tree=tree,
        commit=newest,
        theirs=frozenset(git(root, "diff", "--name-only", base, theirs).splitlines()),
        ours=frozenset(git(root, "diff", "--name-only", base, "HEAD").splitlines()),
        conflicts=tuple(filter(None, conflicts)) if merged.returncode else (),
    )


def show_merge(merge: Merge, base: str) -> None:
    """Print what is new, what is yours, and what both changed."""
    out = terminal.console()
    out.print(f"From {base[:12]} to {merge.commit[:12]}")
    for about, files in (
        ("changed in the template", merge.theirs - merge.ours),
        ("changed by you", merge.ours - merge.theirs),
        ("changed by both, and merged", merge.ours & merge.theirs - set(merge.conflicts)),
        ("changed by both in the same lines", set(merge.conflicts)),
    ):
        out.print(f"  {len(files)} {about}")
        out.print(
            *(f"    {terminal.line(file)}" for file in sorted(files)[:LISTED]), sep="\n", end="\n" if files else ""
        )
        if len(files) > LISTED:
            out.print(f"    and {len(files) - LISTED} more")


def _render_commit(root: Path, upstream: Path, project: Project, commit: str, work: Path) -> str:
    """A commit in the project's repository, on no branch, of the project as this commit of the template would write it."""
    tree, folder = work / commit, work / f"{commit}.project"
    unpack(upstream, commit, tree)
    arguments = [str(tree), str(folder), commit, project.origin, project.name, *project.words]
    done = _run_in(tree, "serving.cli.project.render", *arguments, capture_output=True, text=True)
    if done.returncode:
        raise InvalidRequest(f"The template at {commit[:12]} could not write the project: {done.stderr.strip()[-500:]}")
    git(folder, "init", "--quiet")
    rendered = commit_all(folder, f"The template at {commit[:12]}")
    git(root, "fetch", "--quiet", "--no-tags", str(folder), "HEAD")
    return rendered


def _proves(template: Path, folder: Path, package: str, check: str) -> bool:
    """Whether the merged project passes what the template checks in a new one. It prints what each check says."""
    return _run_in(template, "lab.project.prove", str(folder), package, check, str(ROOT / "weights")).returncode == 0


def _run_in(template: Path, module: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program of the template's tree with the packages that run this."""
    command, environment = [sys.executable, "-m", module, *arguments], os.environ | {"PYTHONPATH": str(template)}
    return subprocess.run(command, cwd=template, env=environment, check=False, **options)


@contextmanager
def _checked_out(root: Path, commit: str, folder: Path) -> Iterator[Path]:
    git(root, "worktree", "add", "--quiet", "--detach", str(folder), commit)
    try:
        yield folder
    finally:
        git(root, "worktree", "remove", "--force", str(folder))
