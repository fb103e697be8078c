"""Packages of XML files (OOXML): checks before a library may open one, and repairs. Nothing is unpacked to the disk."""

import io
import posixpath
import re
import stat
import zipfile
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import IO, Any
from xml.etree import ElementTree as ET

from extensions.office.drawings import parse_xml
from foundation.errors import DocumentRefused

# Raise it when the output changes: it is part of the version of each parser that uses this file
OOXML_VERSION = 1
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# Most ratio of unpacked to packed size. Office files reach about 20; zip bombs begin at several hundred.
_MAX_EXPANSION = 100
_MAX_MEMBERS = 10_000
_XML = (".xml", ".rels", ".opf", ".xhtml", ".html", ".ncx")
_ENTITY = re.compile(rb"<!ENTITY")
# Prefix of the namespaces of Strict Open XML. Our libraries know only the transitional ones, which differ no further.
_STRICT = re.compile(rb"http://purl\.oclc\.org/ooxml/([A-Za-z]+)/")
_TYPES = "[Content_Types].xml"
_PROPERTIES = "http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties"
# What PowerPoint and our libraries fill in by default
_UNTITLED = ("PowerPoint Presentation", "Word Document")
# Bytes of each XML file that are searched for entity declarations, which precede the first element
_DECLARATIONS = 65_536


def open_package(
    content: bytes, name: str, what: str, library: Callable[[IO[bytes]], Any], troubles: tuple[type[Exception], ...]
) -> Any:
    """Check and mend a package, and open it by `library`; `troubles` are the library's errors. Raises as `check_package`."""
    check_package(content, name, what)
    try:
        return library(io.BytesIO(mend(content)))
    except troubles as error:
        raise malformed_document(name, what, error) from error


def core_title(document: Any) -> str | None:
    """Return the title in the properties; `None` where it is a default or they are broken, no reason to refuse the text."""
    try:
        title = str(document.core_properties.title)
    except (KeyError, ValueError, AttributeError):
        return None
    return None if title in _UNTITLED else title


def check_package(content: bytes, name: str, what: str) -> None:
    """Raise DocumentRefused: "encrypted"; "malformed"; "bomb", it unpacks to far more than it is, or declares XML
    entities, which no office program does; "unsafe", a member's name leads out of the package.
    """
    if content.startswith(_OLE):
        if "EncryptedPackage".encode("utf-16-le") in content:
            raise _encrypted_document(name)
        raise malformed_document(name, what, "it is of the older binary format. Save it anew in the newer one")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as package:
            members, unpacked = package.infolist(), sum(member.file_size for member in package.infolist())
            if unpacked > _MAX_EXPANSION * len(content) or len(members) > _MAX_MEMBERS:
                raise DocumentRefused(
                    f'"{name}" unpacks to {unpacked:,} bytes from {len(content):,} and {len(members):,} files; at most '
                    f"{_MAX_EXPANSION} times its size and {_MAX_MEMBERS:,} files are read.",
                    reason="bomb",
                )
            for member in members:
                _check_member(package, member, name)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError) as error:
        raise malformed_document(name, what, error) from error


def mend(content: bytes) -> bytes:
    """Repair what Office accepts and our libraries refuse: Strict namespaces, wrong references, missing content types."""
    with zipfile.ZipFile(io.BytesIO(content)) as package:
        present = set(package.namelist())
        spelt = {name.lower(): name for name in present} | {name: name for name in present}
        changed = {
            name: _without_dangling(package.read(name), name, spelt) for name in present if name.endswith(".rels")
        }
        if _TYPES in present:
            changed[_TYPES] = _with_all_types(package.read(_TYPES), present, spelt)
        strict = any(_STRICT.search(package.read(name)) for name in changed)
        if not strict and not any(changed.values()):
            return content
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as written:
            for name in present:
                member = changed.get(name) or package.read(name)
                if strict and name.lower().endswith(_XML):
                    member = _STRICT.sub(rb"http://schemas.openxmlformats.org/\1/2006/", member)
                written.writestr(name, member)
    return out.getvalue()


def _without_dangling(relations: bytes, name: str, spelt: Mapping[str, str]) -> bytes:
    root = parse_xml(relations)
    folder = posixpath.dirname(posixpath.dirname(name))
    changed = False
    for relation in list(root.iterfind("{*}Relationship")):
        if relation.get("TargetMode") == "External":
            continue
        target = posixpath.normpath(posixpath.join("/", folder, relation.get("Target", ""))).lstrip("/")
        member = spelt.get(target) or spelt.get(target.lower())
        if member is None:
            root.remove(relation)
        elif member != target:
            relation.set("Target", f"/{member}")
        changed = changed or member != target
        if relation.get("Type", "").endswith("/metadata/core-properties") and relation.get("Type") != _PROPERTIES:
            relation.set("Type", _PROPERTIES)  # LibreOffice writes another
            changed = True
    return bytes(ET.tostring(root)) if changed else b""


def _with_all_types(types: bytes, present: set[str], spelt: Mapping[str, str]) -> bytes:
    root = parse_xml(types)
    changed = False
    for override in root.iterfind("{*}Override"):
        part = override.get("PartName", "").lstrip("/")
        member = spelt.get(part) or spelt.get(part.lower(), part)
        override.set("PartName", f"/{member}")
        changed = changed or member != part
    typed_suffixes = {default.get("Extension", "").lower() for default in root.iterfind("{*}Default")}
    typed_names = {override.get("PartName", "").lower() for override in root.iterfind("{*}Override")}
    untyped = [
        name for name in present if f"/{name}".lower() not in typed_names and not name.endswith("/") and name != _TYPES
    ]
    missing = {PurePosixPath(name).suffix[1:].lower() for name in untyped} - typed_suffixes - {""}
    for suffix in sorted(missing):
        attributes = {"Extension": suffix, "ContentType": "application/octet-stream"}
        ET.SubElement(root, root.tag.replace("}Types", "}Default"), attributes)
    return bytes(ET.tostring(root)) if missing or changed else b""


def malformed_document(name: str, what: str, why: object) -> DocumentRefused:
    """Return the refusal of a malformed document; `what` it should be, and `why` it is not."""
    return DocumentRefused(f'"{name}" is not a readable {what}: {str(why) or type(why).__name__}.', reason="malformed")


def _check_member(package: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> None:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or stat.S_ISLNK(member.external_attr >> 16):
        raise DocumentRefused(
            f'"{name}" holds a file whose name leads out of it ("{str(path)[:80]}"). Save it anew with another program.',
            reason="unsafe",
        )
    if member.flag_bits & 1:
        raise _encrypted_document(name)
    if member.filename.lower().endswith(_XML):
        with package.open(member) as file:
            if _ENTITY.search(file.read(_DECLARATIONS).replace(b"\0", b"")):  # also where it is UTF-16
                raise DocumentRefused(
                    f'"{name}" declares XML entities, which can expand without end. Save it anew with another program.',
                    reason="bomb",
                )


def _encrypted_document(name: str) -> DocumentRefused:
    return DocumentRefused(f'"{name}" is encrypted. Send it without a password.', reason="encrypted")
