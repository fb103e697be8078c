"""The section [ray]: where the cluster is, and how much of it is used."""

from pydantic import Field

from foundation.settings import Section


class RaySettings(Section):
    """A cluster of machines."""

    address: str = ""
    """Address of the cluster's head, `host:6379`; empty: RAY_ADDRESS, else a cluster of this machine alone."""
    cpus: float = Field(default=1, gt=0)
    """CPUs that a worker reserves while it prepares documents, and a replica of the API while it runs."""
    replicas: int = Field(default=1, ge=1)
    """Replicas of the API. More than one need shared stores: PostgreSQL, pgvector and Redis."""
