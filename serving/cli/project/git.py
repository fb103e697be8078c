"""Git, for what makes and updates projects. Nothing here does by hand what git does."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from foundation.errors import InvalidRequest


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
