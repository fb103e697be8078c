"""Ingest from a folder of files."""

import mimetypes
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from foundation.errors import DocumentRefused, InvalidRequest
from retrieval.contract import DocumentLedger
from retrieval.documents import Document, Source
from retrieval.ingest.descriptions import Described, read_descriptions
from retrieval.ingest.preparation import Item

SOURCES = "sources.jsonl"
_ESCAPED = re.compile(r"\\x[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class FolderItems:
    """The files of a folder as items, each read when it is iterated; an unreadable one has a reason instead."""

    origin: str
    """The folder's path, stored as `Source.origin` of its documents."""
    unlisted: Mapping[str, DocumentRefused]
    """Subfolders that cannot be listed. Documents stored from them count as present."""
    _files: Mapping[str, Path]
    _described: Mapping[str, Described]
    """The lines of `sources.jsonl` by file."""
    _tenant: str
    _max_bytes: int | None

    @property
    def tenants(self) -> set[str]:
        return {self._tenant, *(entry.tenant for entry in self._described.values() if entry.tenant)}

    @property
    def files_without_tenant(self) -> list[str]:
        """Files without a tenant in `sources.jsonl`, which get the default tenant."""
        return [name for name in self._files if not (name in self._described and self._described[name].tenant)]

    def __contains__(self, uri: object) -> bool:
        return uri in self._files or any(str(uri).startswith(f"{name}/") for name in self.unlisted)

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[Item]:
        for name, path in self._files.items():
            media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
            source = Source(uri=name, tenant=self._tenant, media_type=media_type, origin=self.origin)
            if described := self._described.get(name):
                source = described.over(source)
            yield read_item(path, source, max_bytes=self._max_bytes, within=Path(self.origin))


def read_folder(folder: Path, *, tenant: str, max_bytes: int | None = None) -> FolderItems:
    """List the files below `folder`, sorted, without hidden ones. `sources.jsonl`, inside or beside it, has titles,
    tenants, groups and dates; other files belong to `tenant`. Raises InvalidRequest: the folder or a line is wrong.
    """
    try:
        if not folder.is_dir():
            raise InvalidRequest(f"There is no folder {folder}. Name one that holds documents.")
        paths, unlisted = _list_files(folder)
        files = {_document_name(path.relative_to(folder)): path for path in paths}
        items = FolderItems(folder.resolve().as_posix(), unlisted, files, {}, tenant, max_bytes)
        return replace(items, _described=_describe(folder, items, files))
    except OSError as error:
        # Without the list a file would be open to people who may not read it
        raise InvalidRequest(f"{error.filename} cannot be read: {error.strerror}. Make it readable.") from error


@dataclass(frozen=True, slots=True)
class FolderChanges:
    """Changes in the ledger after a folder was ingested again, by uri."""

    changed: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]
    """(old name, new name). The old one is still stored."""
    removed: tuple[str, ...]
    """Names that are no longer in the folder, and still stored."""
    gone: tuple[Document, ...]
    """The documents of the old names in `renamed` and of those in `removed`."""


def list_stored(ledger: DocumentLedger, folder: FolderItems) -> dict[str, Document]:
    """Return the stored documents of a folder, by tenant and uri."""
    return {
        f"{tenant}\0{document.source.uri}": document
        for tenant in sorted(folder.tenants)
        for document in ledger.documents_where(tenant, origin=folder.origin)
    }


def find_changes(ledger: DocumentLedger, folder: FolderItems, before: Mapping[str, Document]) -> FolderChanges:
    """Compare the ledger with `before`, from `list_stored`. A document is renamed where a new one has its text."""
    after = list_stored(ledger, folder)
    new = [document for key, document in after.items() if key not in before]
    gone = [document for document in after.values() if document.source.uri not in folder]
    names: dict[str, str] = {}
    for old in gone:
        free = (candidate for candidate in new if candidate.source.uri not in names.values())
        if successor := next((candidate for candidate in free if _same_text(ledger, old, candidate)), None):
            names[old.source.uri] = successor.source.uri
    hashes = {key: document.content_hash for key, document in before.items()}
    return FolderChanges(
        changed=tuple(
            it.source.uri for key, it in after.items() if hashes.get(key, it.content_hash) != it.content_hash
        ),
        renamed=tuple(names.items()),
        removed=tuple(it.source.uri for it in gone if it.source.uri not in names),
        gone=tuple(gone),
    )


def _same_text(ledger: DocumentLedger, first: Document, second: Document) -> bool:
    if (first.characters, first.source.tenant) != (second.characters, second.source.tenant):
        return False
    first_entry, second_entry = (ledger.entry(document.document_id) for document in (first, second))
    return first_entry is not None and second_entry is not None and first_entry.parsed.text == second_entry.parsed.text


def _document_name(path: Path) -> str:
    # Bytes that are not UTF-8 are escaped, and so are backslashes that would read like such an escape
    name = os.fsencode(path.as_posix())
    text = name.decode("utf-8", errors="backslashreplace")
    if _ESCAPED.search(text):
        return name.replace(b"\\", b"\\\\").decode("utf-8", errors="backslashreplace")
    return text


def read_item(path: Path, source: Source, *, max_bytes: int | None = None, within: Path | None = None) -> Item:
    """Read a file as an item, without content where it is unreadable, too long, or a link out of `within`."""
    name = _document_name(Path(path.name))
    try:
        return Item(source, _content(path, name, max_bytes, within), name)
    except DocumentRefused as error:
        return Item(source, b"", name, error.with_traceback(None))


def _content(path: Path, name: str, max_bytes: int | None, within: Path | None) -> bytes:
    # At most `max_bytes` and one more, even if the file grows meanwhile
    try:
        target = _target(path)
        if within and not target.is_relative_to(within):
            raise DocumentRefused(
                f'"{name}" is a link that leads out of its folder. Replace it by the file itself.', reason="outside"
            )
        # Reading a pipe would block until somebody writes
        if not target.is_file():
            raise _no_file(name)
        with os.fdopen(open_below(target, within), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _no_file(name)
            content = file.read(-1 if max_bytes is None else max_bytes + 1)
    except OSError as error:
        raise DocumentRefused(
            f'"{name}" cannot be read: {error.strerror}. Make it readable, or move it away.', reason="unreadable"
        ) from error
    if max_bytes is not None and len(content) > max_bytes:
        raise refuse_size(name, max_bytes)
    return content


def refuse_size(name: str, max_bytes: int) -> DocumentRefused:
    return DocumentRefused(
        f'"{name}" has more than {max_bytes:,} bytes. Split it, or raise retrieval.parsing.max_bytes.',
        reason="too_large",
    )


def _no_file(name: str) -> DocumentRefused:
    return DocumentRefused(f'"{name}" is no file but a pipe, a socket or a device. Move it away.', reason="unreadable")


def open_below(target: Path, within: Path | None) -> int:
    """Open a file to read it, through no link, as a descriptor. Raises OSError."""
    # One may have replaced the checked file, or a folder above it, by a link since the check
    flags = os.O_RDONLY | os.O_NONBLOCK  # and a pipe in its place could be opened without waiting
    if within is None:
        return os.open(target, flags)
    *folders, file = target.relative_to(within).parts
    here = os.open(within, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for folder in folders:
            below = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = below
        return os.open(file, flags | os.O_NOFOLLOW, dir_fd=here)
    finally:
        os.close(here)


def _target(path: Path) -> Path:
    # `Path.resolve` raises other errors than OSError for circular links
    return Path(os.path.realpath(path, strict=True))


def _list_files(folder: Path) -> tuple[list[Path], dict[str, DocumentRefused]]:
    """Return the files, and the subfolders that cannot be listed. Raises InvalidRequest: `folder` itself cannot be."""
    # Python 3.11 walks recursively, and a thousand folders may be nested
    root, paths, unlisted, waiting = folder.resolve(), list[Path](), dict[str, DocumentRefused](), [folder]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    path = Path(entry.path)
                    if entry.name.startswith(".") or entry.name == SOURCES:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(path)
                    elif not (entry.is_symlink() and _is_folder_below(path, root)):
                        paths.append(path)
        except OSError as error:
            name = _document_name(here.relative_to(folder) if here != folder else folder)
            why = f'"{name}" cannot be looked into: {error.strerror}. Make it readable, or move it away.'
            if here == folder:
                raise InvalidRequest(why) from error
            unlisted[name] = DocumentRefused(why, reason="unreadable")
    return sorted(paths), unlisted


def _is_folder_below(link: Path, root: Path) -> bool:
    try:
        target = _target(link)
        return target.is_dir() and target.is_relative_to(root)
    except OSError:
        return False


def _describe(folder: Path, present: FolderItems, files: Mapping[str, Path]) -> Mapping[str, Described]:
    # lexists also finds a broken link: ignoring the file would open what it restricts
    file = next((path for path in (folder / SOURCES, folder.parent / SOURCES) if os.path.lexists(path)), None)
    return read_descriptions(file, present, files) if file else {}
