"""The section [claims]: how sure a judge must be."""

from pydantic import Field

from foundation.settings import Section


class ClaimsSettings(Section):
    min_support: float = Field(default=0.02, ge=0, le=1)
    """Least support of a claim by the judge, else it is marked. A cross-encoder or a chat model, which see more, take 0.5."""
    judged_below: float = Field(default=0.5, ge=0, le=1)
    """Share of a claim's terms in its nearest sentences from which the judge is not called; with a strong judge, 1."""
