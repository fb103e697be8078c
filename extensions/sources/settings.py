"""The section [sources]."""

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from foundation.settings import Part, Section
from foundation.types import NOBODY


class Connection(Section):
    """One source: where it is, whose documents they are, and what its people and groups are called here."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    """Stands before the names of its documents: handbook/leave.md."""
    tenant: str
    source: Part
    """The connector: folder, git, imap, s3, or `package.module:build`."""
    groups: Mapping[str, str] = {}
    """Who may read there -> the group here. A reader that is not named here is nobody here."""


class SourcesSettings(Section):
    """Documents that stand elsewhere."""

    connections: tuple[Connection, ...] = ()
    every_s: float | None = Field(default=None, ge=1)
    """Seconds between two syncs while a server runs; unset: only `make sync`."""
    rights_max_age_s: float | None = Field(default=300, ge=0)
    """Seconds for which the rights of a document count as known. After them its source is asked again before a passage is shown; what it does
    not confirm is left out. Unset: they count until the next sync."""
    recheck_timeout_s: float = Field(default=3, gt=0)
    """Seconds that a question waits for a source that is asked again."""
    most_gone: float = Field(default=0.5, ge=0, le=1)
    """Share of a source's documents that one sync may take out. Beyond it nothing is taken out, since a broken listing looks like that."""

    @model_validator(mode="after")
    def _differ(self) -> Self:
        names = [connection.name for connection in self.connections]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f'two connections have the name "{min(twice)}"; give each its own')
        for connection in self.connections:
            if NOBODY in connection.groups.values():
                raise ValueError(f'a group cannot be called "{NOBODY}"')
        return self
