"""A folder of this machine, or one that is mounted, with the rights of its files: who is not in a file's group does not read it."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import Field

from extensions.sources.contract import CursorLost, Listed, Page, Readers, key_of, path_of
from foundation.components import Context
from foundation.errors import UpstreamDown
from foundation.settings import BESIDE_STACK, Section
from retrieval.ingest.folders import open_below

PAGE = 1_000


class Options(Section):
    path: Path = Field(json_schema_extra=BESIDE_STACK)
    rights: bool = True
    """Whether files that not everybody may read are for their group (`group:NAME`) and owner (`user:NAME`) alone; off: for everybody."""


class FolderConnector:
    def __init__(self, path: Path, *, rights: bool) -> None:
        self._path, self._rights = path, rights

    def page(self, cursor: str) -> Page:
        files = self._files()
        if cursor and not files:
            raise CursorLost
        here = [name for name in files if name > cursor][: PAGE + 1]
        objects = [it for name in here[:PAGE] if (it := self._listed(name))]
        return Page(objects, here[PAGE - 1] if len(here) > PAGE else "")

    def read(self, key: str, most: int) -> bytes | None:
        try:
            with os.fdopen(open_below(self._inside(key).resolve(), self._path.resolve()), "rb") as file:
                return file.read(most)
        except FileNotFoundError:
            self._demand_reachable()  # a mount that went away has no file, either
            return None
        except OSError as error:
            raise self._unreachable(error) from error

    def readers(self, keys: Collection[str]) -> Mapping[str, Readers]:
        self._demand_reachable()
        return {key: listed.readers for key in keys if (listed := self._listed(key))}

    def close(self) -> None: ...

    def _files(self) -> list[str]:
        self._demand_reachable()
        try:
            return sorted(self._walk(self._path))
        except OSError as error:
            raise self._unreachable(error) from error

    def _walk(self, folder: Path) -> Iterator[str]:
        for path in folder.iterdir():
            if path.name.startswith(".") or path.is_symlink():
                continue
            if path.is_dir():
                yield from self._walk(path)
            elif path.is_file():
                yield key_of(os.fsencode(path.relative_to(self._path).as_posix()))

    def _listed(self, key: str) -> Listed | None:
        try:
            found = self._inside(key).stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreachable(error) from error
        name = os.fsencode(path_of(key)).decode(errors="backslashreplace")
        version = f"{found.st_mtime_ns}-{found.st_size}-{found.st_ino}"
        if not self._rights or found.st_mode & stat.S_IROTH:
            return Listed(key, name, version)
        readers = {f"user:{_name(pwd.getpwuid, found.st_uid)}"}
        if found.st_mode & stat.S_IRGRP:
            readers.add(f"group:{_name(grp.getgrgid, found.st_gid)}")
        return Listed(key, name, version, frozenset(readers))

    def _inside(self, key: str) -> Path:
        path = self._path / path_of(key)
        if not path.resolve().is_relative_to(self._path.resolve()):
            raise FileNotFoundError(key)
        return path

    def _demand_reachable(self) -> None:
        if not self._path.is_dir():
            raise UpstreamDown(f"There is no folder {self._path}. Mount it, or correct [[sources.connections]].")

    def _unreachable(self, error: OSError) -> UpstreamDown:
        return UpstreamDown(f"{error.filename} cannot be read: {error.strerror}. Make it readable.")


def _name(lookup: object, number: int) -> str:
    with suppress(KeyError):
        return str(lookup(number)[0])  # type: ignore[operator]
    return str(number)


def build(options: Options, context: Context) -> FolderConnector:
    return FolderConnector(context.stack_dir / options.path, rights=options.rights)
