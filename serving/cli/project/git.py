"""Run git, for making and updating projects."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from foundation.errors import InvalidRequest


def git(folder: Path, *arguments: str) -> str:
    """Return git's output without the final newline.

    Raises:
        InvalidRequest: git failed, with its own message.
    """
    if shutil.which("git") is None:
        raise InvalidRequest("git is not installed, and a project is made and updated with it. Install git.")
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S607 - the one on the path
    if done.returncode:
        raise InvalidRequest(f"git {' '.join(arguments)} failed in {folder}: {(done.stderr or done.stdout).strip()}")
    return done.stdout.strip()


def succeeds(folder: Path, *arguments: str) -> bool:
    """Whether git succeeds; its output is ignored."""
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=False).returncode == 0  # noqa: S607
