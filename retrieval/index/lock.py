"""Ownership of an embedded index by one process: two writers would lose each other's vectors without any error."""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from foundation.errors import StoreInUse, StoreUnavailable

# Seconds to wait for the lock, so that a command can follow another that is still closing
PATIENCE_S = 2.0


class Ownership:
    """A lock file with the owner's pid. The kernel releases it when the process dies, so it cannot become stale."""

    def __init__(self, path: Path, *, what: str, patience_s: float = PATIENCE_S) -> None:
        """Take the lock within `patience_s`. Raises StoreInUse, naming the owner's pid; StoreUnavailable."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StoreUnavailable(
                f"{what} at {path.parent} cannot be locked: {error.strerror}. Make that folder writable."
            ) from error
        for _ in range(40):
            with suppress(BlockingIOError):
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.ftruncate(self._handle, 0)
                os.write(self._handle, str(os.getpid()).encode())
                return
            time.sleep(patience_s / 40)
        owner = os.read(self._handle, 32).decode(errors="replace").strip() or "unknown"
        os.close(self._handle)
        raise StoreInUse(
            f"{what} at {path.parent} belongs to process {owner}. If that is `make serve`, ask over its API, or "
            f"stop it; else wait until it has ended. Or choose another folder: SIXPLY__FOUNDATION__DATA_DIR=..."
        )

    def release(self) -> None:
        """Release the lock. A second call does nothing."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
