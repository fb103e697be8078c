"""Measures the parsers on any folder of files: what became of each, in how long, and with how much memory.

Every file must end in text or in a typed reason. To look for one that does not, the files are mutated: bytes are flipped,
cut out, repeated and spliced, in packages inside of their members too, which plain noise would never reach because of
their check sums. A seed makes every mutated file again.
"""

from __future__ import annotations

import io
import random
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from foundation.errors import DocumentRefused, InvalidRequest, SixplyError
from foundation.types import Scope
from lab.library import PARSERS
from retrieval.contract import Retriever
from retrieval.documents import ParseLimits, Source
from retrieval.ingest.parsing import supported_suffixes
from retrieval.ingest.preparation import Item
from retrieval.ingest.sandbox import ParserPool
from retrieval.settings import ParsingSettings

Progress = Callable[[str, int, int], None]
SECONDS, MEGABYTES = 10.0, 512.0
"""What one document may cost."""
_SAMPLE_S = 0.02
_LOUD = 64
"""Bytes up to which one mutation reaches."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file. `peak_mb` is the parsing process's resident memory, its libraries included; `None` where
    the system does not tell, or the file was refused without a process.
    """

    file: str
    outcome: str
    """text, refused or failed; failed is anything that is neither text nor a typed reason."""
    reason: str
    message: str
    seconds: float
    peak_mb: float | None
    characters: int


def bench_parse(
    data: Path, settings: ParsingSettings, *, mutate: int = 0, seed: int = 7, progress: Progress | None = None
) -> dict[str, Any]:
    """Parse every file below `data`, then `mutate` damaged copies of them, in a process with the limits of `settings`.

    Raises:
        InvalidRequest: there is no file.
    """
    files = sorted(path for path in data.rglob("*") if path.is_file() and path.stat().st_size <= settings.max_bytes)
    if not files:
        raise InvalidRequest(f"There is no file below {data}. Name a folder of documents: DATA=folder")
    with closing(ParserPool(settings, ParseLimits(parsers=PARSERS))) as pool:
        pool.parse(b"The process is started before anything is measured.", "first.txt")
        rows = []
        for number, path in enumerate(files, start=1):
            rows.append(parse_one(pool, path.read_bytes(), path.name, str(path.relative_to(data))))
            _tell(progress, "parse", number, len(files))
        damaged = []
        seeds = [
            path
            for path in files
            if path.suffix.lower() in supported_suffixes(ParseLimits(parsers=PARSERS)) and path.stat().st_size
        ]
        for number, (name, content) in enumerate(mutations(seeds, mutate, seed), start=1):
            damaged.append(parse_one(pool, content, name, f"{name} mutated, number {number} of seed {seed}"))
            _tell(progress, "mutated", number, mutate)
    figures = summary(rows) | {"data": data.name}
    if damaged:
        figures |= {f"mutated_{name}": value for name, value in summary(damaged).items()} | {"seed": seed}
    kept = [one for one in damaged if one.outcome == "failed" or one.reason in ("crashed", "timeout") or _over(one)]
    return figures | {"rows": [asdict(one) for one in (*rows, *kept)]}


def parse_one(pool: ParserPool, content: bytes, name: str, file: str) -> Outcome:
    begun = time.perf_counter()
    outcome, reason, message, characters = "text", "", "", 0
    with _Peak(pool) as peak:
        try:
            characters = len(pool.parse(content, name).text)
        except DocumentRefused as error:
            outcome, reason, message = "refused", error.reason, str(error)
        except Exception as error:  # what must not happen is what is looked for here
            outcome, reason, message = "failed", type(error).__name__, str(error)[:300]
    seconds = time.perf_counter() - begun
    return Outcome(file, outcome, reason, message, round(seconds, 3), peak.megabytes, characters)


def summary(rows: Sequence[Outcome]) -> dict[str, Any]:
    """Counts, and the dearest: `over_limits` are those above 10 s or 512 MB."""
    peaks = [one.peak_mb for one in rows if one.peak_mb is not None]
    return {
        "files": len(rows),
        "text": sum(one.outcome == "text" for one in rows),
        "refused": sum(one.outcome == "refused" for one in rows),
        "failed": sum(one.outcome == "failed" for one in rows),
        "crashed": sum(one.reason == "crashed" for one in rows),
        "over_limits": sum(_over(one) for one in rows),
        "slowest_s": max((one.seconds for one in rows), default=0.0),
        "largest_mb": max(peaks, default=None),
        "characters": sum(one.characters for one in rows),
        "reasons": dict(Counter(one.reason for one in rows if one.reason).most_common()),
    }


def _over(one: Outcome) -> bool:
    """Half a second is the parent's own: a process that is given up at its limit must be ended and waited for."""
    return one.seconds > SECONDS + 0.5 or (one.peak_mb or 0) > MEGABYTES


class _Peak:
    """The most memory that the pool's child holds meanwhile. Linux alone can tell, and can forget the past."""

    def __init__(self, pool: ParserPool) -> None:
        self._pool = pool
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.megabytes: float | None = None

    def __enter__(self) -> Self:
        pid = self._pool.pid
        if pid is not None:
            try:
                Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")  # 5: the peak begins anew
            except OSError:
                return self
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
            self._look()

    def _watch(self) -> None:
        while not self._over.wait(_SAMPLE_S):
            self._look()

    def _look(self) -> None:
        try:
            status = Path(f"/proc/{self._pool.pid}/status").read_text(encoding="ascii", errors="replace")
        except OSError:
            return
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                self.megabytes = max(self.megabytes or 0.0, round(int(line.split()[1]) / 1024, 1))


def _tell(progress: Progress | None, what: str, done: int, total: int) -> None:
    if progress:
        progress(what, done, total)


# -- mutated documents -------------------------------------------------------------------------------------------------


def mutations(seeds: Sequence[Path], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """`count` damaged documents made of `seeds`, each under the name of the one that it was made of.

    Half of the time a format is drawn before a file, so that the rare formats are not lost among the frequent ones.
    """
    chance = random.Random(seed)
    formats = sorted({path.suffix.lower() for path in seeds})
    for _ in range(count if seeds else 0):
        wanted = chance.choice(formats)
        path = chance.choice([one for one in seeds if one.suffix.lower() == wanted] if chance.random() < 0.5 else seeds)
        content, other = path.read_bytes(), chance.choice(seeds).read_bytes()
        inside = _member_mutated(content, other, chance) if content[:2] == b"PK" and chance.random() < 0.8 else None
        yield path.name, inside if inside is not None else damage(content, other, chance)


def damage(content: bytes, other: bytes, chance: random.Random) -> bytes:
    """One to eight changes of one kind or of several."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        chance.choice(_KINDS)(changed, other, chance)
    return bytes(changed)


def _flip(content: bytearray, _: bytes, chance: random.Random) -> None:
    for _n in range(chance.randint(1, _LOUD) if content else 0):
        content[chance.randrange(len(content))] = chance.randrange(256)


def _cut(content: bytearray, _: bytes, chance: random.Random) -> None:
    start = chance.randint(0, len(content))
    del content[start : start + chance.choice([1, _LOUD, 4096, len(content)])]


def _repeat(content: bytearray, _: bytes, chance: random.Random) -> None:
    start = chance.randint(0, len(content))
    content[start:start] = bytes(content[start : start + chance.randint(1, _LOUD)]) * chance.choice([2, 50, 2000])


def _splice(content: bytearray, other: bytes, chance: random.Random) -> None:
    start, theirs = chance.randint(0, len(content)), chance.randint(0, len(other))
    content[start : start + chance.choice([0, 512])] = other[theirs : theirs + chance.choice([16, 512, 8192])]


def _count_up(content: bytearray, _: bytes, chance: random.Random) -> None:
    """Make a number huge: lengths, offsets and counts are what parsers trust."""
    places = (
        [place for place in range(len(content)) if chr(content[place]).isdecimal()] if len(content) < 1 << 20 else []
    )
    if places:
        place = chance.choice(places)
        content[place : place + 1] = chance.choice([b"99999999", b"-1", b"0", b"4294967295", b"1e400"])


_KINDS: tuple[Callable[[bytearray, bytes, random.Random], None], ...] = (_flip, _cut, _repeat, _splice, _count_up)


def _member_mutated(content: bytes, other: bytes, chance: random.Random) -> bytes | None:
    """The package with one or two of its members damaged; `None` where it is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as package:
            members = {member.filename: package.read(member) for member in package.infolist() if not member.is_dir()}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError):
        return None
    for name in chance.sample(sorted(members), k=min(len(members), chance.randint(1, 2))):
        members[name] = damage(members[name], other, chance)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as package:
        for name, member in members.items():
            package.writestr(zipfile.ZipInfo(name), member, zipfile.ZIP_DEFLATED)  # with no time of writing in it
    return packed.getvalue()


# -- strings that break the handling of input --------------------------------------------------------------------------


def bench_strings(strings: Sequence[str], *, ingestor: Any, retriever: Retriever) -> dict[str, Any]:
    """Each string as a document's text, name, title, tenant and group, and as a query: taken, refused, or failed.

    A string that was taken as a text must be found by its owner alone, where a query with a word in it finds anything.
    """
    outcomes, failed = Counter[str](), []
    for number, text in enumerate(strings):
        for use, act in _uses(text, number, ingestor, retriever).items():
            try:
                act()
                outcomes[f"{use}: taken"] += 1
            except SixplyError as error:
                outcomes[f"{use}: {getattr(error, 'reason', error.code)}"] += 1
            except Exception as error:  # as above
                outcomes[f"{use}: failed"] += 1
                failed.append({"string": text, "use": use, "error": f"{type(error).__name__}: {error}"[:300]})
    return {
        "strings": len(strings),
        "strings_failed": len(failed),
        "strings_outcomes": dict(outcomes),
        "strings_failures": failed,
    }


def _uses(text: str, number: int, ingestor: Any, retriever: Retriever) -> Mapping[str, Callable[[], object]]:
    content, plain = text.encode("utf-8", errors="surrogatepass"), b"A plain sentence about lamps."

    def take(content: bytes, name: str, source: Source) -> Callable[[], object]:
        return lambda: ingestor.ingest_one(Item(source, content, name), scope=None)

    return {
        "text": take(content, "string.txt", Source(f"text-{number}", "strings")),
        "name": take(plain, f"{text}.txt", Source(text, "strings")),
        "title": take(plain, "string.txt", Source(f"title-{number}", "strings", title=text)),
        "tenant": take(plain, "string.txt", Source("one.txt", text, groups=frozenset({text}))),
        "query": lambda: retriever.retrieve(text, Scope("strings")),
        "scope": lambda: retriever.retrieve("lamps", Scope(text, frozenset({text}))),
    }
