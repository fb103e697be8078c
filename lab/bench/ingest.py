"""Measures ingest against its own encoder, what a second run and a change cost, and whether memory stays flat.

The encoder is nearly all of an ingest, so the ingest is as good as the share of its speed that it reaches. Both are timed
on the same texts in turns, because other work on the machine slows whichever is running.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import psutil

from extensions.datasets.reading import TENANT, Progress
from foundation.errors import InvalidRequest
from lab.bench.public_data import Ingests
from models.contract import Embeddings
from models.embedding import embed
from retrieval.contract import Chunker
from retrieval.documents import Parsed, Source, VectorItem
from retrieval.ingest.preparation import Item

ROUNDS = 3
MARKS = (1_000, 10_000, 100_000)
"""Passages stored at which memory is compared."""
_SECTIONS, _SENTENCES = 5, 7
_COMPARED = 128
"""Passages by which two embedders are compared."""
_SAMPLED = 20
"""Memory is looked at before one document in so many."""

Parse = Callable[[bytes, str], Parsed]


class Counts(Protocol):
    """The part of a ledger that is used here."""

    def chunk_count(self) -> int: ...


def made_up(sentences: Sequence[str], count: int, *, seed: int, start: int = 0) -> Iterator[Item]:
    """Documents of real sentences in random order, each with its number in it, so that no two passages are alike."""
    for number in range(start, start + count):
        dice = random.Random(f"{seed} {number}")
        sections = [
            f"## Part {number}.{part}\n\n{' '.join(dice.choices(sentences, k=_SENTENCES))}" for part in range(_SECTIONS)
        ]
        text = f"# Document {number}\n\n" + "\n\n".join(sections)
        yield Item(Source(f"{number:06}.md", TENANT, media_type="text/markdown"), text.encode(), f"{number}.md")


def sentences_of(folder: Path) -> list[str]:
    """Those of the Markdown files below a folder.

    Raises:
        InvalidRequest: there are none.
    """
    lines = (
        line.strip() for path in sorted(folder.rglob("*.md")) for line in path.read_text(encoding="utf-8").split("\n")
    )
    found = [line for line in lines if 40 < len(line) < 400 and line[0].isalnum()]
    if not found:
        raise InvalidRequest(f"{folder} holds no sentence to make documents of. Name data of your own: DATA=folder")
    return found


def bench_ingest(
    items: Sequence[Item],
    *,
    ingestor: Ingests,
    embedder: Embeddings,
    parse: Parse,
    chunker: Chunker,
    progress: Progress,
    against: Embeddings | None = None,
) -> dict[str, Any]:
    """Ingest the items in `ROUNDS` parts, each beside the embedding of its passages in one call; then all of them again,
    then all under other names, then one with a changed ending. `against` is another embedder to compare ours with.
    """
    parts = [list(items[start::ROUNDS]) for start in range(ROUNDS)]
    embed(embedder, passages(parts[0][:8], parse, chunker))  # what a first use costs is nobody's
    rounds = []
    for number, part in enumerate(parts):
        rounds.append(_round(part, passages(part, parse, chunker), ingestor, embedder, ingest_first=bool(number % 2)))
        progress("ingest and embed", number + 1, ROUNDS)
    first_s = sum(one["ingest_s"] for one in rounds)
    again_s, _, again = _timed(lambda: ingestor.ingest(items))
    moved = ingestor.ingest([_renamed(item) for item in items])
    longest = max(items, key=lambda item: len(item.content))
    changed = ingestor.ingest([_edited(longest)])
    return {
        "encoder_share": statistics.median(one["encoder_s"] / one["ingest_s"] for one in rounds),
        "encoder_share_cpu": _quotient(
            sum(one["encoder_cpu_s"] for one in rounds), sum(one["ingest_cpu_s"] for one in rounds)
        ),
        "second_run_share": again_s / first_s,
        "second_run_embedded": again.embedded,
        "renamed": moved.added,
        "renamed_embedded": moved.embedded,
        "changed_passages": changed.chunks,
        "changed_embedded": changed.embedded,
        "ingest_s": first_s,
        "encoder_s": sum(one["encoder_s"] for one in rounds),
        "chunks_per_s": sum(one["chunks"] for one in rounds) / first_s,
        **(_against(passages(items, parse, chunker)[:_COMPARED], embedder, against) if against else {}),
        "documents": len(items),
        "chunks": sum(one["chunks"] for one in rounds),
        "rounds": rounds,
    }


def passages(items: Iterable[Item], parse: Parse, chunker: Chunker) -> list[str]:
    """What an ingest of these items embeds."""
    found = []
    for item in items:
        parsed = parse(item.content, item.name)
        parsed = replace(parsed, title=item.source.title or parsed.title)
        found += [chunk.indexed_text for chunk in chunker.chunk(parsed, item.source.document_id)]
    return found


def _round(
    items: Sequence[Item], texts: Sequence[str], ingestor: Ingests, embedder: Embeddings, *, ingest_first: bool
) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for what in ("ingest", "encoder") if ingest_first else ("encoder", "ingest"):
        work = (lambda: ingestor.ingest(items)) if what == "ingest" else (lambda: embed(embedder, texts))
        told[f"{what}_s"], told[f"{what}_cpu_s"], done = _timed(work)
        if what == "ingest":
            told["chunks"], told["embedded"] = done.chunks, done.embedded
    return told


def _against(texts: Sequence[str], ours: Embeddings, theirs: Embeddings) -> dict[str, Any]:
    """How many times as fast ours is, by the clock and by processor time, over the same texts in turns."""
    embed(theirs, texts[:8])
    spent = [(_timed(lambda: embed(ours, texts)), _timed(lambda: embed(theirs, texts))) for _ in range(ROUNDS)]
    return {
        "encoder_gain": statistics.median(other[0] / own[0] for own, other in spent),
        "encoder_gain_cpu": _quotient(sum(other[1] for _, other in spent), sum(own[1] for own, _ in spent)),
    }


def _quotient(cpu_s: float, of_cpu_s: float) -> float | None:
    """None where the work took less processor time than this machine's clock can tell from none (10 ms on some)."""
    return cpu_s / of_cpu_s if of_cpu_s else None


def _timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds by the clock and of this process's processor time, and what came of it."""
    begun, busy = time.perf_counter(), time.process_time()
    done = work()
    return time.perf_counter() - begun, time.process_time() - busy, done


def _renamed(item: Item) -> Item:
    return replace(item, source=replace(item.source, uri=f"moved/{item.source.uri}"))


def _edited(item: Item) -> Item:
    return replace(item, content=item.content.rstrip() + b" Changed.")


def memory_growth(
    items: Iterable[Item], *, ingestor: Ingests, ledger: Counts, chunks: int, progress: Progress
) -> dict[str, Any]:
    """The most memory that this process held on the way to each of `MARKS` passages, in megabytes."""
    process, marks = psutil.Process(), [mark for mark in MARKS if mark < chunks] + [chunks]
    most: dict[int, float] = {}

    def watched() -> Iterator[Item]:
        for number, item in enumerate(items):
            if number % _SAMPLED == 0:
                stored = ledger.chunk_count()
                mark = next((mark for mark in marks if stored < mark), None)
                if mark is None:
                    return
                most[mark] = max(most.get(mark, 0.0), process.memory_info().rss / 1e6)
                progress("memory", stored, chunks)
            yield item

    ingestor.ingest(watched())
    reached = sorted(most)
    return {
        "memory_mb": {str(mark): round(most[mark], 1) for mark in reached},
        "memory_growth_mb": round(most[reached[-1]] - most[reached[0]], 1),
        "memory_chunks": ledger.chunk_count(),
    }


class KeepsNothing:
    """A vector index that forgets what it is given, so that what an ingest holds is not hidden behind what an index in the
    same process must hold.
    """

    def __init__(self) -> None:
        self._complete = (0, "")

    def upsert(self, items: Iterable[VectorItem]) -> None:
        for _ in items:
            pass

    def delete(self, chunk_ids: Iterable[str]) -> None:
        for _ in chunk_ids:
            pass

    def search(self, *_: Any, **__: Any) -> list[tuple[str, float]]:
        return []

    def sequence(self) -> int:
        return self._complete[0]

    def version_token(self) -> str:
        return self._complete[1]

    def set_sequence(self, sequence: int, version_token: str = "") -> None:
        self._complete = sequence, version_token

    def count(self) -> int:
        return 0

    def clear(self) -> None:
        self._complete = 0, ""

    def close(self) -> None:
        pass
