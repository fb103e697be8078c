"""What can befall the files of an embedded index."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BLOAT = 64 << 30
"""A damaged graph has been seen to say that it is larger than the disk; a hole in the file costs no room."""


def index_files(folder: Path) -> list[Path]:
    """The files of Chroma below a data folder, with its checksum, the largest first; none where the stack has none, or keeps it in memory."""
    index = folder / "index"
    found = [*(index / "chroma").rglob("*"), *index.glob("checksum*")]
    files = [path for path in found if path.is_file() and path.stat().st_size]
    return sorted(files, key=lambda path: (-path.stat().st_size, path.name))


@contextmanager
def filling(part: Path) -> Iterator[Callable[[], bool]]:
    """Yield whether that file or folder is another one by now. The number of one that is open is given to no other."""
    if not part.exists():
        yield part.exists
        return
    before = os.open(part, os.O_RDONLY)
    try:
        yield lambda: not part.exists() or part.stat().st_ino != os.fstat(before).st_ino
    finally:
        os.close(before)


def damage(path: Path, how: str, dice: random.Random) -> None:
    DAMAGES[how](path, dice)


def _truncate(path: Path, dice: random.Random) -> None:
    os.truncate(path, int(path.stat().st_size * dice.uniform(0, 0.9)))


def _flip(path: Path, dice: random.Random) -> None:
    """A bit in each of a hundred places."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        for _ in range(100):
            place = dice.randrange(size)
            file.seek(place)
            old = file.read(1)[0]
            file.seek(place)
            file.write(bytes([old ^ 1 << dice.randrange(8)]))


def _bloat(path: Path, dice: random.Random) -> None:
    os.truncate(path, BLOAT + dice.randrange(1 << 20))


def _delete(path: Path, dice: random.Random) -> None:
    del dice
    path.unlink()


DAMAGES = {"truncate": _truncate, "flip": _flip, "bloat": _bloat, "delete": _delete}
