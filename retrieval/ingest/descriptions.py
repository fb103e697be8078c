"""Descriptions of a folder's files in its `sources.jsonl`: titles, tenants, readers, versions and dates."""

import difflib
import json
from collections.abc import Collection, Container, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from foundation.errors import InvalidRequest
from foundation.settings import Section, find_mistake
from retrieval.documents import Source
from retrieval.filters import parse_value


class Described(Section):
    """A line of `sources.jsonl`: the metadata of one file. `path` is relative to the folder."""

    path: str
    title: str = ""
    tenant: str | None = None
    groups: tuple[str, ...] = ()
    series: str | None = None
    effective_from: date | None = None
    published: date | None = None
    attributes: Mapping[str, str | bool | float] = {}
    """Attributes to filter by; a text such as 2026-01-15 is a day."""

    def over(self, source: Source) -> Source:
        """Return the source of a file with what this line says of it."""
        return replace(
            source,
            **{name: getattr(self, name) for name in ("title", "series", "effective_from", "published")},
            tenant=self.tenant or source.tenant,
            groups=frozenset(self.groups),
            attributes={key: parse_value(value) for key, value in self.attributes.items()},
        )


def read_descriptions(file: Path, present: Container[str], names: Collection[str]) -> Mapping[str, Described]:
    """Return the lines of a list by file. Raises InvalidRequest: a line is wrong, or its file is not `present`."""
    try:
        # JSON may hold other characters that end a line elsewhere
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{file} is not UTF-8: {error}. Save it as UTF-8.") from error
    described: dict[str, Described] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = Described.model_validate(json.loads(line))
        except ValidationError as error:
            key, why, hint = find_mistake(error, Described)
            raise InvalidRequest(f"{file} line {number} does not fit: {key}: {why}. {hint or ''}") from error
        except ValueError as error:
            raise InvalidRequest(f"{file} line {number} is no JSON: {error}. Correct it.") from error
        name = PurePosixPath(entry.path).as_posix()
        if name in described:
            raise InvalidRequest(
                f"{file} line {number} describes {name} a second time. Keep one: they may differ in who may read it."
            )
        described[name] = entry
    if lost := sorted(name for name in described if name not in present):
        near = difflib.get_close_matches(lost[0], names, n=1)
        raise InvalidRequest(
            f"{file} describes {lost[0]}, which is not in the folder. Correct the path: the file it was meant for would "
            f"be read without its tenant and groups." + (f' Did you mean "{near[0]}"?' if near else "")
        )
    return described
