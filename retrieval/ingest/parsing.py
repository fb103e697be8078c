"""The registry of parsers, and parsing in this process, which the sandbox's child does."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING

from foundation.errors import DocumentRefused, MissingDependency, SixplyError
from foundation.extensions import find_parts, resolve
from retrieval import parsers
from retrieval.contract import Completer, Parser
from retrieval.documents import Document, Parsed, ParseLimits
from retrieval.formats.text_blocks import clean

if TYPE_CHECKING:  # it brings pydantic, which the parsers' process does not wait for
    from foundation.components import Context

CORE = ParseLimits()


def supported_suffixes(limits: ParseLimits = CORE) -> list[str]:
    """Return the suffixes that parsers read, sorted."""
    return sorted(_registry(limits))


def parser_versions(limits: ParseLimits = CORE) -> frozenset[str]:
    """Return the versions of all parsers."""
    return frozenset(parser.version for parser in _registry(limits).values())


def find_newer_parser(name: str, parsers: Collection[str], limits: ParseLimits = CORE) -> str | None:
    """Return the version of today's parser for this name where `parsers` lack it; `None`: nothing is newer."""
    suffix = PurePath(name).suffix.lower()
    parser = _registry(limits).get(suffix)
    if parser is None or not parsers:
        return None
    needed = {parser.version, *(other.version for other in _completers(suffix, limits))}
    today = parser_versions(limits)
    still_here = {_name_of(version) for version in today}  # what one that is gone has read stays as it is
    earlier = any(_name_of(version) in still_here for version in {*parsers} - today)
    return parser.version if earlier or not needed.issubset(parsers) else None


def _name_of(version: str) -> str:
    return version.partition(" ")[0]


class NeedsRoom(Exception):
    """The document needs a process with more memory, in MB, and more seconds than others, or one that may write files."""

    def __init__(self, memory_mb: int, seconds: float, writes_mb: int = 0) -> None:
        super().__init__(f"{memory_mb} MB, {seconds:g} s, files of {writes_mb} MB")
        self.room = (memory_mb, seconds, writes_mb)


def limits_of(context: Context) -> ParseLimits:
    """Return the limits that name the parsers of this system."""
    return ParseLimits(parsers=context.parsers, recogniser=context.recogniser)


def count_outdated(documents: Iterable[Document], limits: ParseLimits = CORE) -> dict[str, int]:
    """Count the documents that a newer parser would read differently, by its version; earlier versions are left out."""
    newer = (find_newer_parser(document.source.uri, document.parsers, limits) for document in documents)
    return dict(sorted(Counter(filter(None, newer)).items()))


@cache
def _registry(limits: ParseLimits) -> dict[str, Parser]:
    by_suffix: dict[str, Parser] = {}
    files = [f"{parsers.__name__}.{file.name}" for file in pkgutil.iter_modules(parsers.__path__)]
    for module in (*files, *limits.parsers):
        parser: Parser = importlib.import_module(module).build(limits)
        by_suffix |= dict.fromkeys(parser.suffixes, parser)
    return by_suffix


def _completers(suffix: str, limits: ParseLimits) -> list[Completer]:
    found = dict.fromkeys(parser for parser in _registry(limits).values() if isinstance(parser, Completer))
    return [parser for parser in found if suffix in parser.completes]


def parse_here(content: bytes, name: str, limits: ParseLimits) -> Parsed:
    """Parse in this process, unprotected, as the sandbox's child does. Raises DocumentRefused."""
    parser = parser_for(name, limits)
    completers = _completers(PurePath(name).suffix.lower(), limits)
    try:
        parsed = parser.parse(content, name)
    except DocumentRefused as error:
        if error.reason != "empty" or not completers:
            raise
        parsed = Parsed("", ())
    for other in completers:
        parsed = other.complete(parsed, content, name)
    versions = {parser.version, *(other.version for other in completers), *parsed.parsers}
    return replace(parsed, parsers=tuple(sorted(versions)))


def parser_for(name: str, limits: ParseLimits) -> Parser:
    suffix = PurePath(name).suffix.lower()
    if suffix not in _registry(limits):
        owner = _suffixes_of_extensions(limits).get(suffix)
        raise DocumentRefused(
            f'"{name}" is read by the extension "{owner}", which is off. Turn it on: make add NAME={owner}'
            if owner
            else f'"{name}" is of no format that we read (found suffix "{suffix}"). '
            f"Supported: {', '.join(supported_suffixes(limits))}.",
            reason="unsupported",
        )
    return _registry(limits)[suffix]


@cache
def _suffixes_of_extensions(limits: ParseLimits) -> dict[str, str]:
    """Return the suffixes that extensions read, on or off, and whose each is."""
    owners: dict[str, str] = {}
    for place, (module, owner) in find_parts().items():
        if place.startswith("retrieval.parsers/"):
            with suppress(SixplyError):  # what is off may be broken
                owners |= dict.fromkeys(resolve(f"{module}:build")(limits).suffixes, owner)
    return owners


def check_offer(content: bytes, name: str, max_bytes: int, limits: ParseLimits) -> str:
    """Return the name as messages may repeat it. Raises DocumentRefused: reason "unsupported" or "too_large"."""
    name = " ".join(clean(name).split())[-200:]  # strangers choose the name, and messages and logs repeat it
    parser_for(name, limits)
    if len(content) > max_bytes:
        raise DocumentRefused(
            f'"{name}" has {len(content):,} bytes, more than {max_bytes:,}. Split it, or raise '
            f"retrieval.parsing.max_bytes.",
            reason="too_large",
        )
    return name


@contextmanager
def translate_failures(name: str) -> Iterator[None]:
    """Raises DocumentRefused, MissingDependency: instead of whatever a parser and its libraries raise."""
    try:
        yield
    except (DocumentRefused, NeedsRoom):
        raise
    except ImportError as error:
        raise MissingDependency(
            f'Reading "{name}" needs a Python package that is not installed: {error}. Run make setup.'
        ) from error
    except MemoryError as error:
        raise DocumentRefused(
            f'"{name}" needs more memory to parse than it may have. Split it, or give the process that parses more memory (MEMORY_MB).',
            reason="too_large",
        ) from error
    except Exception as error:
        what = f"{type(error).__name__}: {error}"[:300]
        raise DocumentRefused(f'"{name}" could not be parsed ({what}). Save it anew.', reason="malformed") from error
