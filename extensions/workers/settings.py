"""The section [workers]: how many processes serve."""

from pydantic import Field

from foundation.settings import Section


class WorkersSettings(Section):
    """Server processes on one socket."""

    processes: int = Field(default=1, ge=1)
    """More than one need shared stores: PostgreSQL, pgvector and Redis."""
