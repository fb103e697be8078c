"""The port of a connector: what it must be able to say of the place where documents stand.

`extensions/sources/connectors/` has the adapters; `use = "package.module:build"` names one of your own, and
`tests/extensions/sources/promises.py` tests it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

# Begins a key that stands for a path which is no UTF-8, in hexadecimal digits
_BYTES = "bytes:"
# The readers of an object, as its source names people and groups; `None`: everybody of the tenant
Readers = frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as its source lists it."""

    key: str
    """What names it in its source for as long as it is there."""
    name: str
    """What people call it. The suffix chooses the parser."""
    version: str
    """Another one after each change of the content."""
    readers: Readers = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the objects, each in one page only while nothing changes."""

    objects: Sequence[Listed]
    cursor: str = ""
    """Where the next page begins; empty: this is the last one."""


def key_of(path: bytes) -> str:
    """Return the key of a path, whatever its bytes are: what is kept is text.

    >>> key_of("läse.md".encode()), key_of(b"l\\xe4se.md")
    ('läse.md', 'bytes:6ce473652e6d64')
    """
    try:
        key = path.decode()
    except UnicodeDecodeError:
        return _BYTES + path.hex()
    return _BYTES + path.hex() if key.startswith(_BYTES) else key


def path_of(key: str) -> str:
    """Return the path of a key, as the functions of Python that read files take it."""
    return os.fsdecode(bytes.fromhex(key.removeprefix(_BYTES))) if key.startswith(_BYTES) else key


class CursorLost(Exception):
    """The source no longer knows a cursor that it gave."""


@runtime_checkable
class Connector(Protocol):
    """A place where documents stand. Methods run in threads. What cannot be reached raises UpstreamDown, never an empty answer."""

    def page(self, cursor: str) -> Page:
        """List the objects from `cursor` on; from the beginning where it is empty. Raises CursorLost, UpstreamDown."""

    def read(self, key: str, most: int) -> bytes | None:
        """Return the content, only its first `most` bytes where it has more, or `None` where it is gone. Raises UpstreamDown."""

    def readers(self, keys: Collection[str]) -> Mapping[str, Readers]:
        """Return who may read each object now; those that are gone are left out. Raises UpstreamDown."""

    def close(self) -> None: ...
