"""What belongs to the whole process: its version, and where it counts."""

from functools import cache
from importlib import metadata
from typing import Any

from foundation import names
from foundation.components import load_if_there

METRICS = "observability.telemetry.metrics"


class _Nowhere:
    """Counts nothing, for a project without metrics."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_, **__: None


@cache
def domain() -> Any:
    """Return the process's `DomainMetrics`."""
    metrics = load_if_there(METRICS)
    return metrics.domain() if metrics else _Nowhere()


def version() -> str:
    try:
        return metadata.version(names.SERVICE)
    except metadata.PackageNotFoundError:
        return "0+unknown"  # not installed; the manifest carries the commit
