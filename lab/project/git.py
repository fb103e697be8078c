"""What makes and updates projects asks of git beside a plain command. Nothing here does by hand what git does."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from extensions.development.update import git

AUTHOR = ("-c", "user.name=sixply", "-c", "user.email=sixply@localhost")
"""Who commits where git knows nobody."""


def succeeds(folder: Path, *arguments: str) -> bool:
    """Whether git succeeds; its output is ignored."""
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=False).returncode == 0


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
