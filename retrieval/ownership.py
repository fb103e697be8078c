"""One process owns an embedded index. Two writers lose each other's vectors without any error."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from foundation.errors import StoreInUse, StoreUnavailable


class Ownership:
    """A lock file that names its owner. The kernel lets go of it when the process dies, so it cannot become stale."""

    def __init__(self, path: Path, *, what: str) -> None:
        """Raises:
        StoreInUse: another process, or another part of this one, owns it; with the owner's pid.
        StoreUnavailable: the folder cannot be made or written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StoreUnavailable(
                f"{what} at {path.parent} cannot be locked: {error.strerror}. Make that folder writable, or choose another: "
                f"SIXPLY__FOUNDATION__DATA_DIR=..."
            ) from error
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(self._handle, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._handle)
            raise StoreInUse(
                f"{what} at {path.parent} belongs to process {owner}. Stop that process (is `make serve` running?), "
                f"ask it over its API, or choose another folder: SIXPLY__FOUNDATION__DATA_DIR=..."
            ) from error
        os.ftruncate(self._handle, 0)
        os.write(self._handle, str(os.getpid()).encode())

    def release(self) -> None:
        """A second call does nothing."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
