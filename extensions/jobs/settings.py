"""The section [jobs]: how much of them a tenant may have."""

from pydantic import Field

from foundation.settings import Section


class JobSettings(Section):
    """Background jobs."""

    running_per_tenant: int = Field(default=20, ge=1)
    """Maximum running and waiting jobs of a tenant; the next one is refused for now."""
    mb_per_tenant: float = Field(default=200, gt=0)
    """Disk space of a tenant's files, questions and outcomes. Full: the oldest ended jobs go, then new ones are refused."""
