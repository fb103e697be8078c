"""The section [drift]."""

from pydantic import Field

from foundation.settings import Section


class DriftSettings(Section):
    """What is kept of answers, to compare the weeks."""

    scored_share: float = Field(default=1.0, ge=0, le=1)
    """Share of the answers that are scored as they are given: how far citations support them, and eight numbers of the question."""
