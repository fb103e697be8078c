"""A checksum of an index folder, written when it is closed in order and deleted while it is open.

Without a fitting checksum a folder is never read: what a killed process left of it can end the process that reads it.
"""

import hashlib
from pathlib import Path

from xxhash import xxh3_128

# Bytes up to which a file is never taken for hollow
_HOLLOW = 16 << 20
# Bytes that are read of a checksum, more than it has: a damaged file can claim gigabytes, too
_LONGEST = 1 << 10


class FolderChecksum:
    """A checksum of every file in a folder, kept in a file beside it."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._path, self._folder = path, folder

    def write(self) -> None:
        """Write the checksum, atomically. A hollow folder gets none."""
        if not self._is_hollow():
            new = self._path.with_suffix(".new")
            new.write_text(self._digest(), encoding="ascii")
            new.replace(self._path)

    def delete(self) -> None:
        self._path.unlink(missing_ok=True)

    def is_intact(self) -> bool:
        """Whether the folder was closed in order and is unchanged since."""
        try:
            with self._path.open("rb") as stored:
                return not self._is_hollow() and stored.read(_LONGEST) == self._digest().encode()
        except OSError:  # there is no checksum, or a file of the folder cannot be read
            return False

    def _is_hollow(self) -> bool:
        # A damaged graph can claim more than the disk holds, and would take hours to read
        states = [file.stat() for file in self._files()]
        return any(state.st_size > _HOLLOW and state.st_blocks * 512 < state.st_size / 2 for state in states)

    def _digest(self) -> str:
        digest = xxh3_128()
        for file in self._files():
            with file.open("rb") as content:
                own = hashlib.file_digest(content, xxh3_128).hexdigest()
            digest.update(f"{file.relative_to(self._folder)} {own}\n".encode())
        return digest.hexdigest()

    def _files(self) -> list[Path]:
        return sorted(path for path in self._folder.rglob("*") if path.is_file())
