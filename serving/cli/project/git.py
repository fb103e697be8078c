"""Git, for what makes and updates projects. Nothing here does by hand what git does."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from foundation.errors import InvalidRequest

AUTHOR = ("-c", "user.name=sixply", "-c", "user.email=sixply@localhost")
"""Who commits where git knows nobody."""


def git(folder: Path, *arguments: str) -> str:
    """What git says, without the last line's end.

    Raises:
        InvalidRequest: git failed, with its own words.
    """
    if shutil.which("git") is None:
        raise InvalidRequest("git is not installed, and a project is made and updated with it. Install git.")
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S607 - the one on the path
    if done.returncode:
        raise InvalidRequest(f"git {' '.join(arguments)} failed in {folder}: {(done.stderr or done.stdout).strip()}")
    return done.stdout.strip()


def succeeds(folder: Path, *arguments: str) -> bool:
    """Whether git agrees; its words are not wanted."""
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=False).returncode == 0  # noqa: S607


def author_for(folder: Path) -> tuple[str, ...]:
    """Options that name an author where git knows nobody."""
    return () if succeeds(folder, "var", "GIT_AUTHOR_IDENT") else AUTHOR


def unpack(repository: Path, commit: str, folder: Path) -> None:
    """Write the committed tree into the new `folder`."""
    folder.mkdir()
    archive = folder.with_suffix(".tar")
    git(repository, "archive", "--format=tar", f"--output={archive}", commit)
    shutil.unpack_archive(archive, folder, filter="tar")
    archive.unlink()


def commit_all(folder: Path, message: str) -> str:
    """Commit what stands in the folder, and say which commit it is."""
    git(folder, "add", "--all")
    git(folder, *author_for(folder), "commit", "--quiet", "--no-verify", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")
