"""Translation of disk errors into ours, distinguishing a full disk, missing rights and damage."""

import errno
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foundation.errors import StorageFull, StoreUnavailable

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def room_at(path: Path) -> int:
    """Return the free bytes on the disk of a folder, or of its nearest existing parent."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Translate errors of `path` to `StorageFull` or `StoreUnavailable`."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise store_error(path, error) from error


def store_error(path: Path, error: sqlite3.Error | OSError) -> StoreUnavailable:
    """Return `error` as one of ours. It names `path` and the cause, for the operator; callers of the API get `public`."""
    if isinstance(error, sqlite3.Error):
        return _sqlite_error(path, error)
    if error.errno in NO_ROOM:
        return _full(path)
    if error.errno == errno.EROFS:
        return StoreUnavailable(
            f"{path} is on a disk that is mounted read-only. Mount it writable; the system's log may say why."
        )
    return StoreUnavailable(f"{path}: {error.strerror or error}. Make it and its folder writable for this user.")


def _sqlite_error(path: Path, error: sqlite3.Error) -> StoreUnavailable:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_FULL"):
        return _full(path)
    if name.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN")) and not room_at(path.parent):
        return _full(path)  # beside a full disk SQLite often cannot even make its shared memory
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreUnavailable(f"Another process has been writing to {path} for too long. Try again shortly.")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return StoreUnavailable(
            f"{path} cannot be opened for writing ({error}). Make it and its folder writable for this user."
        )
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreUnavailable(
            f"{path} is damaged ({error}). Restore it from a backup, or move it away and start again."
        )
    return StoreUnavailable(f"{path} cannot be used: {error}. Check its disk, then start again.")


def _full(path: Path) -> StorageFull:
    return StorageFull(f"No room is left on the disk for {path}. Nothing was changed; free some space and try again.")
