"""One process owns an embedded index. Two writers lose each other's vectors without any error."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from foundation.errors import StoreInUse, StoreUnavailable

PATIENCE_S = 2.0
"""One question after another must not meet while the first one closes."""


class Ownership:
    """A lock file that names its owner. The kernel lets go of it when the process dies, so it cannot become stale."""

    def __init__(self, path: Path, *, what: str) -> None:
        """Wait a little for an owner who is about to let go.

        Raises:
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
            self._lock(time.monotonic() + PATIENCE_S)
        except OSError as error:
            owner = os.read(self._handle, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._handle)
            raise StoreInUse(
                f"{what} at {path.parent} belongs to process {owner}. If that is `make serve`, ask on its page or over its API, or "
                f"stop it; else wait until it has ended. Or choose another folder: SIXPLY__FOUNDATION__DATA_DIR=..."
            ) from error
        os.ftruncate(self._handle, 0)
        os.write(self._handle, str(os.getpid()).encode())

    def _lock(self, until: float) -> None:
        while True:
            try:
                return fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise
            time.sleep(PATIENCE_S / 40)

    def release(self) -> None:
        """A second call does nothing."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
