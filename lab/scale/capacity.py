"""What a corpus of a given size takes: memory, disk, hours of embedding, money, servers. A model and no measurement.

It multiplies what a passage was measured to take here by a number of passages. What does not grow like that is said in
`Assumptions`. The point is to see, before anything is bought, which of the designs a size needs and where each stops.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from extensions.plots import svg
from lab import plots

SIZES = tuple(10**power for power in range(4, 10))
GB = 1e9


@dataclass(frozen=True, slots=True)
class Measured:
    """What one passage took on this machine, with the configured parts."""

    passages: int
    """That these figures are the mean of."""
    characters: float
    dimensions: int
    cores: int
    embedded_per_core_s: float
    """Parsed, cut and embedded in a second of one core's time: other work on the machine counts little."""
    committed_per_s: float
    """By one process: ledger and keyword index."""
    indexed_per_s: float
    ledger_bytes: float
    """On disk, the keyword index included; 0 where the ledger is in a server."""
    disk_bytes: float
    """With the vector index, if that is in files here."""
    usd_per_hour: float
    """Of this machine: `[models] machine_usd_per_hour`."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    graph_bytes: int = 150
    """Of a vector's links in an HNSW graph with 16 links a node, and of its row."""
    server_gb: float = 64
    """Memory of a database server."""
    share: float = 0.7
    """Of it that may be the index."""
    process_gb: float = 2
    """Of an index that an API process may hold itself."""
    day_h: float = 24
    """Within which all of it is to be embedded."""


@dataclass(frozen=True, slots=True)
class Size:
    passages: int
    index_gb: float
    """Vectors as float32 with their graph, in memory."""
    index_int8_gb: float
    disk_gb: float
    embed_h: float
    """On one machine like this."""
    embed_usd: float
    machines: int
    """That embed it in a day."""
    commit_h: float
    """By one process, however many machines embed."""
    servers: int
    """That hold the index as float32."""
    servers_int8: int
    design: str


ONE_PROCESS = "one process: SQLite, Chroma"
SHARED = "Ray, PostgreSQL and pgvector, replicas"
SPLIT = "several databases, tenants spread over them"


def model(measured: Measured, sizes: Sequence[int] = SIZES, assumed: Assumptions | None = None) -> list[Size]:
    assumed = assumed or Assumptions()
    return [_size(measured, passages, assumed) for passages in sizes]


def _size(measured: Measured, passages: int, assumed: Assumptions) -> Size:
    index_gb = passages * (measured.dimensions * 4 + assumed.graph_bytes) / GB
    int8_gb = passages * (measured.dimensions + assumed.graph_bytes) / GB
    embed_h = passages / (measured.embedded_per_core_s * measured.cores) / 3600
    room = assumed.server_gb * assumed.share
    servers = math.ceil(index_gb / room)
    return Size(
        passages=passages,
        index_gb=index_gb,
        index_int8_gb=int8_gb,
        disk_gb=passages * measured.disk_bytes / GB,
        embed_h=embed_h,
        embed_usd=embed_h * measured.usd_per_hour,
        machines=math.ceil(embed_h / assumed.day_h),
        commit_h=passages / measured.committed_per_s / 3600,
        servers=servers,
        servers_int8=math.ceil(int8_gb / room),
        design=ONE_PROCESS if index_gb <= assumed.process_gb else SHARED if servers == 1 else SPLIT,
    )


def report(measured: Measured, assumed: Assumptions | None = None) -> dict[str, Any]:
    assumed = assumed or Assumptions()
    return {
        "measured": asdict(measured),
        "assumed": asdict(assumed),
        "sizes": [asdict(each) for each in model(measured, assumed=assumed)],
    }


def table(sizes: Sequence[Size]) -> Table:
    columns = [
        "passages",
        "index GB",
        "as int8",
        "disk GB",
        "embed h",
        "$",
        "machines",
        "commit h",
        "servers",
        "design",
    ]
    shown = Table(*columns, box=None, padding=(0, 2, 0, 0), header_style="dim")
    for each in sizes:
        shown.add_row(
            f"{each.passages:,}",
            *(svg.plain(value) for value in (each.index_gb, each.index_int8_gb, each.disk_gb, each.embed_h, each.embed_usd)),
            f"{each.machines:,}",
            svg.plain(each.commit_h),
            f"{each.servers} ({each.servers_int8})",
            each.design,
        )  # fmt: skip
    return shown


def plot(sizes: Sequence[Size]) -> str:
    """Both axes in powers of ten."""

    def line(name: str) -> list[tuple[float, float]]:
        return [(math.log10(each.passages), math.log10(getattr(each, name))) for each in sizes]

    return plots.lines(
        {
            "index in memory, GB": line("index_gb"),
            "on disk, GB": line("disk_gb"),
            "embedding on one machine, h": line("embed_h"),
            "committing by one process, h": line("commit_h"),
        },
        title="What a corpus takes, in powers of ten",
        x_label="passages, power of ten",
        y_label="power of ten",
    )
