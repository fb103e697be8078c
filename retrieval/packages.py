"""What every format that is a ZIP package of XML files shares: the checks before a library may open it.

Nothing is ever unpacked to the disk. Members are still refused whose names lead out of the package: no office program
writes them, so whoever did had something in mind.
"""

from __future__ import annotations

import io
import re
import stat
import zipfile
from pathlib import PurePosixPath

from foundation.errors import DocumentRefused

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MAX_EXPANSION = 100
"""Unpacked size against packed size. Office files reach about 20; zip bombs begin at several hundred."""
_MAX_MEMBERS = 10_000
_XML = (".xml", ".rels", ".opf", ".xhtml", ".html", ".ncx")
_ENTITY = re.compile(rb"<!ENTITY")
_DECLARATIONS = 65_536
"""Bytes of each XML file in which a declaration of entities is looked for: it stands before the first element."""


def check_package(content: bytes, name: str, what: str) -> None:
    """Raises:
    DocumentRefused: "encrypted"; "malformed", no package at all; "bomb", it unpacks to far more than it is, or declares
        XML entities, which no office program does; "unsafe", a member's name leads out of the package.
    """
    if content.startswith(_OLE):
        if "EncryptedPackage".encode("utf-16-le") in content:
            raise _encrypted(name)
        raise malformed(name, what, "it is of the older binary format. Save it anew in the newer one")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as package:
            members = package.infolist()
            _check_size(members, len(content), name)
            for member in members:
                _check_member(package, member, name)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError) as error:
        raise malformed(name, what, error) from error


def malformed(name: str, what: str, why: object) -> DocumentRefused:
    """`what` it should be, and `why` it is not."""
    return DocumentRefused(f'"{name}" is not a readable {what}: {str(why) or type(why).__name__}.', reason="malformed")


def _check_size(members: list[zipfile.ZipInfo], packed: int, name: str) -> None:
    unpacked = sum(member.file_size for member in members)
    if unpacked > _MAX_EXPANSION * packed:
        raise DocumentRefused(
            f'"{name}" unpacks to {unpacked:,} bytes from {packed:,}, more than {_MAX_EXPANSION} times its size.',
            reason="bomb",
        )
    if len(members) > _MAX_MEMBERS:
        raise DocumentRefused(f'"{name}" holds {len(members):,} files, more than {_MAX_MEMBERS:,}.', reason="bomb")


def _check_member(package: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> None:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or stat.S_ISLNK(member.external_attr >> 16):
        raise DocumentRefused(
            f'"{name}" holds a file whose name leads out of it ("{str(path)[:80]}"). Save it anew with another program.',
            reason="unsafe",
        )
    if member.flag_bits & 1:
        raise _encrypted(name)
    if path.suffix.lower() in _XML:
        with package.open(member) as file:
            if _ENTITY.search(file.read(_DECLARATIONS).replace(b"\0", b"")):  # also where it is UTF-16
                raise DocumentRefused(
                    f'"{name}" declares XML entities, which can expand without end. Save it anew with another program.',
                    reason="bomb",
                )


def _encrypted(name: str) -> DocumentRefused:
    return DocumentRefused(f'"{name}" is encrypted. Send it without a password.', reason="encrypted")
