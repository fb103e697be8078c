"""Kill, damage, fill up, start again, and ask for every document: what was acknowledged must be found, once.

A model of what may be stored is kept beside the tortured process. It knows what was acknowledged, and that the step under
way when the process died may or may not have happened, each of its documents whole or not at all. After every start each
document that ever was is asked for by words that occur nowhere else: it has to come first in both searches, or not at all.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import json
import random
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from foundation.errors import ComponentError
from foundation.stores.crashpoints import WRITING
from lab.faults.damage import DAMAGES, damage, filling, index_files

PATIENCE_S = 600.0
"""A start or an answer that takes longer counts as none."""
STEPS = 12
"""What the process is given to do before each kill."""
DOCUMENTS = 60
"""About so many are kept, so that asking for each of them stays quick."""
FORGOTTEN = 40
"""So many of the documents and versions that went last are asked for as well: they must stay away."""
DISK_EVERY, DAMAGE_EVERY = 10, 4
"""A full disk before one kill in so many; damage after one in so many, or as many as `mutations` asks for."""
READY_CHUNKS = 10_000
LEGS = ("keyword", "vector")
SHOWN = 10
"""So many misses are told with all that is known of them."""

Progress = Callable[[str, int, int], None]
Version = int | None
"""Of a document; `None`: it is not stored."""


@dataclass(frozen=True)
class Order:
    """Which stack is tortured, and how much."""

    stack: Path
    data_dir: Path
    overrides: Mapping[str, Any]
    kills: int = 200
    mutations: int = 50
    ready_chunks: int = READY_CHUNKS
    """Passages at which the way from a kill to the first answer is timed; 0 leaves that out."""
    seed: int = 7


@dataclass(frozen=True)
class Miss:
    """What was not as it should be, and what had happened just before."""

    kind: str
    """The figure in which it counts."""
    document: str
    """Empty where only the numbers do not fit."""
    what: str
    when: str
    after: str


@dataclass
class Tally:
    """What is counted; the goals are zeros, which say as much as the numbers beside them."""

    kills: int = 0
    kills_at_points: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WRITING, 0))
    kills_while_opening: int = 0
    acknowledged: int = 0
    """Documents stored, replaced or deleted, and told so before the process died."""
    asked: int = 0
    """Queries that looked for one of them afterwards."""
    lost: int = 0
    duplicated: int = 0
    half: int = 0
    unreadable: int = 0
    """Starts that did not end in an open system."""
    starts: int = 0
    mutations: int = 0
    """Of an index that had been closed in order."""
    mutations_detected: int = 0
    mutations_after_kill: int = 0
    """Of an index whose owner was killed, where nobody can know what the files should be."""
    mutations_while_running: int = 0
    deaths_while_running: int = 0
    disk_full: int = 0
    disk_full_refused: int = 0
    """Writes that were refused with a typed error, rather than acknowledged and lost."""
    reembedded: int = 0
    """Passages embedded although their document was stored already, at a start or when it was offered again."""
    offered_again: int = 0
    slowest_start_s: float = 0.0
    misses: list[Miss] = field(default_factory=list)
    """The first of what is counted as lost, duplicated or half."""


def torture(order: Order, progress: Progress) -> dict[str, Any]:
    """Everything, in a temporary folder below the data folder.

    Raises:
        ComponentError: the tortured process answers with an error where none is expected.
    """
    order.data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="torture-", dir=order.data_dir) as folder:
        trial = _Trial(order, Path(folder) / "var")
        for number in range(order.kills):
            trial.round(number)
            progress("kill", number + 1, order.kills)
        for number in range(order.mutations):
            trial.mutate(number)
            progress("damage the index", number + 1, order.mutations)
        trial.finish()
        ready = _readiness(order, Path(folder) / "large", progress) if order.ready_chunks else {}
    return {**asdict(trial.tally), **ready, "disk": "RLIMIT_FSIZE", "seed": order.seed}


# -- what is stored ----------------------------------------------------------------------------------------------------


@functools.cache
def words(document: int, version: int, part: int) -> str:
    """Eight words that occur nowhere else, so that both searches find a passage by them."""
    digest = hashlib.shake_128(f"{document} {version} {part}".encode()).hexdigest(48)
    return " ".join(f"w{digest[place : place + 12]}" for place in range(0, 96, 12))


def parts(document: int) -> int:
    """Passages of a document: one for most."""
    return (1, 1, 5)[document % 3]


def text(document: int, version: int) -> str:
    """Each passage under a heading of its own, so that the chunker leaves them apart."""
    return "\n\n".join(f"# {part}\n\n{words(document, version, part)}" for part in range(parts(document)))


def name(document: int) -> str:
    return f"{document:05}.md"


@dataclass(frozen=True)
class Change:
    document: int
    version: Version

    @property
    def told(self) -> tuple[str, str | None]:
        return name(self.document), None if self.version is None else text(self.document, self.version)


Step = Sequence[Change]
"""Done and acknowledged together."""


class Model:
    """What may be stored: for each document the versions that are possible now, one unless a step was cut short."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._next = 0
        self._latest: dict[int, int] = {}
        self.possible: dict[int, set[Version]] = {}
        self.gone: dict[tuple[int, int], None] = {}
        """Documents and versions that were stored once, the latest last."""

    @property
    def stored(self) -> list[int]:
        return [document for document, versions in self.possible.items() if versions != {None}]

    def plan(self, length: int) -> list[Step]:
        """Additions, some of several documents, replacements and deletions; no document twice."""
        touched: set[int] = set()
        return [self._step(touched) for _ in range(length)]

    def _step(self, touched: set[int]) -> Step:
        free = [document for document in self.stored if document not in touched]
        full = len(self.stored) > DOCUMENTS
        kind = self._dice.choice(
            ["delete", "delete", "replace", "add"] if full else ["add", "add", "replace", "delete"]
        )
        if kind == "add" or not free:
            fresh = range(self._next, self._next + self._dice.choice([1, 1, 2, 6]))
            self._next = fresh.stop
            touched.update(fresh)
            return [Change(document, self._version(document)) for document in fresh]
        document = self._dice.choice(free)
        touched.add(document)
        return [Change(document, self._version(document) if kind == "replace" else None)]

    def _version(self, document: int) -> int:
        """Never used twice, not even after a deletion."""
        self._latest[document] = self._latest.get(document, -1) + 1
        return self._latest[document]

    def acknowledged(self, step: Step) -> None:
        for change in step:
            self._leave(change.document, {change.version})

    def cut_short(self, step: Step) -> None:
        """Each of its documents is as before or as it should become."""
        for change in step:
            before = self.possible.get(change.document, {None})
            self._leave(change.document, before | {change.version})

    def found(self, document: int, versions: set[Version]) -> None:
        self._leave(document, versions or {None})

    def _leave(self, document: int, versions: set[Version]) -> None:
        for version in self.possible.get(document, set()) - versions:
            if version is not None:
                self.gone.pop((document, version), None)
                self.gone[document, version] = None
        for version in versions:
            if version is not None:
                self.gone.pop((document, version), None)
        self.possible[document] = versions


# -- the process -------------------------------------------------------------------------------------------------------


class Died(Exception):
    """The process ended instead of answering."""


class Side:
    """The tortured process, as its parent sees it. It calls back on loopback, and its line ends when it does.

    `fresh`: started anew, as a user's would be, and not forked from one that has imported everything.
    """

    def __init__(self, order: Order, folder: Path, *, fresh: bool = False) -> None:
        overrides = {**order.overrides, "foundation": {"data_dir": str(folder)}}
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.settimeout(PATIENCE_S)
            told = json.dumps({"stack": str(order.stack), "overrides": overrides, "port": listening.getsockname()[1]})
            self.begun = time.perf_counter()
            self.process = _start(told) if fresh else _fork(told)
            self._connection, _ = listening.accept()
        self._answers = self._connection.makefile(encoding="utf-8")

    def opened(self) -> float:
        """Seconds from the start to an open system.

        Raises:
            Died, ComponentError: it did not come so far.
        """
        self.answer()
        return time.perf_counter() - self.begun

    def send(self, do: str, **told: Any) -> None:
        with suppress(OSError):  # then it has died, which the answer will show
            self._connection.sendall((json.dumps({"do": do, **told}) + "\n").encode())

    def answer(self) -> dict[str, Any]:
        """Raises:
        Died: it ended, or took too long and was ended.
        ComponentError: it answered with an error.
        """
        watch = threading.Timer(PATIENCE_S, self._end)
        watch.start()
        line = ""
        try:
            with suppress(ConnectionError):  # it died with something of ours unread
                line = self._answers.readline()
        finally:
            watch.cancel()
        if not line.endswith("\n"):
            raise Died("The process ended.")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ComponentError(f"{answer['error']}: {answer['message']}")
        return answer

    def ask(self, do: str, **told: Any) -> dict[str, Any]:
        self.send(do, **told)
        return self.answer()

    def kill(self) -> None:
        self._end()
        self._hang_up()

    def close(self) -> None:
        """End in order: the index gets its checksum."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)
        self.process.wait(PATIENCE_S)
        self._hang_up()

    def _end(self) -> None:
        with suppress(psutil.NoSuchProcess):
            self.process.kill()
        self.process.wait(PATIENCE_S)

    def _hang_up(self) -> None:
        self._answers.close()
        self._connection.close()


PROGRAM = [sys.executable, "-m", "lab.faults.tortured_process"]


def _start(told: str) -> psutil.Process:
    return psutil.Popen([*PROGRAM, told], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _fork(told: str) -> psutil.Process:
    nursery = _nursery()
    assert nursery.stdin
    assert nursery.stdout
    nursery.stdin.write(told + "\n")
    nursery.stdin.flush()
    return psutil.Process(int(nursery.stdout.readline()))


@functools.cache
def _nursery() -> subprocess.Popen[str]:
    """The process from which the tortured ones are forked; it ends with this one, which closes its input."""
    nursery = subprocess.Popen(
        PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    atexit.register(nursery.communicate)
    return nursery


class _Trial:
    """One ledger and one index, over all kills."""

    def __init__(self, order: Order, folder: Path) -> None:
        self._order, self._folder = order, folder
        self._dice = random.Random(order.seed)
        self.model = Model(self._dice)
        self.tally = Tally()
        self._points = 0
        self._typical_start_s = 1.0
        self._round = "kill 0"
        self._befell = "nothing yet"
        self._missed: set[tuple[str, str, str]] = set()

    def round(self, number: int) -> None:
        """Start, ask for everything, work, die."""
        dice = self._dice
        self._round = f"kill {number + 1}"
        if self.tally.starts and dice.random() < 0.1:
            self._die_opening()
        with self._started() as side:
            if number % DISK_EVERY == DISK_EVERY - 1:
                self._fill_up(side)
            steps = self.model.plan(STEPS)
            at_point = dice.random() < 0.5
            crash = (WRITING[self._points % len(WRITING)], dice.randint(1, STEPS)) if at_point else None
            side.send("work", steps=[[change.told for change in step] for step in steps], crash=crash)
            done = self._let_work(side, steps, None if crash else dice.randrange(STEPS))
            self._after_kill(steps, done)
            self._befell = f"killed at {crash[0]}" if crash else "killed at a random moment"
            if crash:
                self._points += 1
                self.tally.kills_at_points[crash[0]] += 1
        self.tally.kills += 1
        if number % DAMAGE_EVERY == DAMAGE_EVERY - 1:
            self.tally.mutations_after_kill += self._damage() is not None
            with self._started():
                pass

    def mutate(self, number: int) -> None:
        """Damage an index that was closed in order; one in three is damaged while the process runs, too."""
        self._round = f"damage {number + 1}"
        with self._started() as side:
            if number % 3 == 2:
                self._damage_under(side)
            self._close(side)
        damaged = self._damage(number)
        with filling(self._folder / "index" / "chroma") as is_filled_anew, self._started() as side:
            self._close(side)
            if damaged:
                self.tally.mutations += 1
                self.tally.mutations_detected += is_filled_anew()

    def finish(self) -> None:
        """One more start after the last kill, and every document offered again."""
        self._round = "end"
        with self._started() as side:
            held = [(document, version) for document in self.model.stored for version in self.model.possible[document]]
            before = side.ask("count")["embedded"]
            side.ask(
                "fill", documents=[(name(one), text(one, version)) for one, version in held if version is not None]
            )
            self.tally.offered_again = len(held)
            self.tally.reembedded += side.ask("count")["embedded"] - before
            self._close(side)

    def _close(self, side: Side) -> None:
        side.close()
        self._befell = "closed in order"

    @contextmanager
    def _started(self) -> Iterator[Side]:
        """A process that has opened, and in which everything was asked for."""
        self.tally.starts += 1
        side = Side(self._order, self._folder)
        try:
            try:
                took = side.opened()
            except (Died, ComponentError):
                self.tally.unreadable += 1
                raise
            self._typical_start_s = took
            self.tally.slowest_start_s = max(self.tally.slowest_start_s, took)
            self._check(side)
            yield side
        finally:
            side.kill()

    def _die_opening(self) -> None:
        side = Side(self._order, self._folder)
        time.sleep(self._dice.uniform(0, self._typical_start_s))
        side.kill()
        self._befell += ", killed while it opened"
        self.tally.kills += 1
        self.tally.kills_while_opening += 1

    def _let_work(self, side: Side, steps: Sequence[Step], answers: int | None) -> int:
        """How many steps were acknowledged before the end: after so many answers and a moment more, or when it dies by
        itself (`None`).
        """
        done = 0
        with suppress(Died):
            while answers is None or done < answers:
                done = max(done, side.answer().get("done", 0))
            time.sleep(self._dice.uniform(0, 0.05))
            side.process.kill()
            while done < len(steps):  # what it said with its last breath was acknowledged
                done = max(done, side.answer().get("done", 0))
        return done

    def _after_kill(self, steps: Sequence[Step], done: int) -> None:
        for step in steps[:done]:
            self.model.acknowledged(step)
            self.tally.acknowledged += len(step)
        for step in steps[done : done + 1]:
            self.model.cut_short(step)

    def _fill_up(self, side: Side) -> None:
        """Let no file reach beyond a small size, write until that is refused, make room again, and go on. An index that had
        no room follows with the next write.
        """
        side.ask("cap_files", size=self._dice.randrange(8_192, 200_000))
        self.tally.disk_full += 1
        for _ in range(200):
            if not self._took(side):
                self.tally.disk_full_refused += 1
                break
        side.ask("cap_files", size=None)
        if not self._took(side):
            raise ComponentError(
                "A write was refused although there was room again. See why in tests/faults/test_index.py."
            )
        self._befell += ", started, no room for a while"
        self._check(side)

    def _took(self, side: Side) -> bool:
        """Whether one more step was acknowledged, rather than refused with an error."""
        [step] = self.model.plan(1)
        side.send("work", steps=[[change.told for change in step]])
        try:
            while "through" not in side.answer():
                pass
        except (ComponentError, Died) as error:
            self.model.cut_short(step)
            if isinstance(error, Died):
                raise
            return False
        self.model.acknowledged(step)
        self.tally.acknowledged += len(step)
        return True

    def _damage(self, number: int | None = None) -> Path | None:
        """The file that was damaged; `None` where this stack keeps no index in files. Numbers one after the other take each file in turn,
        and then each in another way.
        """
        files = index_files(self._folder)
        if not files:
            return None
        times, which = divmod(self._dice.randrange(10**6) if number is None else number, len(files))
        how, path = list(DAMAGES)[(times + which) % len(DAMAGES)], files[which]
        self._befell += f", {how} {path.name}"
        damage(path, how, self._dice)
        return path

    def _damage_under(self, side: Side) -> None:
        """Damage a file that the process has open. It may fail to answer, with an error; it may not die."""
        self.tally.mutations_while_running += self._damage() is not None
        query = words(self.model.stored[0], 0, 0)
        try:
            for order in ({"do": "ask", "queries": [query]}, {"do": "count"}):
                with suppress(ComponentError):
                    side.ask(**order)
            self._took(side)
        except Died:
            self.tally.deaths_while_running += 1

    def _check(self, side: Side) -> None:
        """Ask for all that may be there, and for what went last."""
        possible = self.model.possible
        wanted = [(one, version) for one in possible for version in possible[one] if version is not None]
        wanted += list(self.model.gone)[-FORGOTTEN:]
        asked = [(one, version, part) for one, version in wanted for part in sorted({0, parts(one) - 1})]
        queries = [words(*each) for each in asked]
        found = side.ask("ask", queries=queries)["found"]
        self.tally.asked += len(queries)
        times: dict[tuple[int, int], list[int]] = {}
        for (one, version, part), query, hits in zip(asked, queries, found, strict=True):
            times.setdefault((one, version), []).append(self._times(one, version, part, query, hits))
        there = self._there(times)
        for one in [*possible]:
            versions = there.get(one, {None})
            if len(versions) > 1:
                self._miss("duplicated", one, f"there in {_told(versions)}")
            elif versions <= possible[one]:
                self.model.found(one, versions)
            else:  # the model stays as it is, so that one miss does not look like others in later checks
                self._miss("lost", one, f"{_told(possible[one])} should be there, and found is {_told(versions)}")
        self._count(side)

    def _times(self, document: int, version: int, part: int, passage: str, hits: Sequence[Any]) -> int:
        """How often a passage is found. Where it is, it has to be first in both searches."""
        times = sum(passage in shown for _, shown, _ in hits)
        for leg in LEGS if times else ():
            if hits[0][0] != name(document) or hits[0][2].get(leg) != 1:
                self._miss("lost", document, f"version {version}, passage {part}: not first in the {leg} leg")
        return times

    def _there(self, times: Mapping[tuple[int, int], Sequence[int]]) -> dict[int, set[Version]]:
        """The versions that are there, by document, from how often their first and last passages were found."""
        there: dict[int, set[Version]] = {}
        for (document, version), found in times.items():
            if max(found) > 1:
                self._miss("duplicated", document, f"version {version}: a passage more than once")
            if min(found) == 0 < max(found):
                self._miss("half", document, f"version {version}: its first or its last passage is not found")
            if max(found):
                there.setdefault(document, set()).add(version)
        return there

    def _count(self, side: Side) -> None:
        """A copy that no query showed would show here."""
        counted = side.ask("count")
        stored = self.model.stored
        for what, held in (("documents", len(stored)), ("vectors", sum(map(parts, stored)))):
            if counted[what] > held:
                self._miss("duplicated", None, f"{counted[what] - held} {what} more than were stored")
        if counted["vectors"] < counted["chunks"]:
            self._miss("lost", None, f"{counted['chunks'] - counted['vectors']} vectors fewer than passages")

    def _miss(self, kind: str, document: int | None, what: str) -> None:
        """Counted once, in however many checks it shows."""
        miss = Miss(kind, "" if document is None else name(document), what, self._round, self._befell)
        if (told := (miss.kind, miss.document, miss.what)) not in self._missed:
            self._missed.add(told)
            setattr(self.tally, kind, getattr(self.tally, kind) + 1)
            self.tally.misses += [miss] * (len(self.tally.misses) < SHOWN)


def _told(versions: set[Version]) -> str:
    told = ["no version" if version is None else f"version {version}" for version in versions]
    return " or ".join(sorted(told))


# -- ready again -------------------------------------------------------------------------------------------------------


def _readiness(order: Order, folder: Path, progress: Progress) -> dict[str, Any]:
    """Seconds from a kill to the first answer with many passages: with the index as the kill left it, and without one."""
    many = order.ready_chunks
    documents = [(name(one), text(one, 0)) for one in range(many // 2)]
    chunks = 0
    side = Side(order, folder, fresh=True)
    try:
        side.opened()
        for start in range(0, len(documents), 500):
            if chunks < many:
                chunks += side.ask("fill", documents=documents[start : start + 500])["chunks"]
                progress("fill", min(chunks, many), many)
        side.send("fill", documents=[(name(many), text(many, 0))])
    finally:
        side.kill()
    after_kill = _ready(order, folder, "after_kill")
    shutil.rmtree(folder / "index", ignore_errors=True)
    return {"ready_chunks": chunks, **after_kill, **_ready(order, folder, "without_index")}


def _ready(order: Order, folder: Path, when: str) -> dict[str, float]:
    """By the clock, and in processor time of all the processes that it takes, which a busy machine makes no longer."""
    before = _processor_s()
    side = Side(order, folder, fresh=True)
    try:
        side.opened()
        side.ask("ask", queries=[words(0, 0, 0)])
        took = time.perf_counter() - side.begun
    finally:
        side.kill()
    return {f"ready_s_{when}": took, f"ready_cpu_s_{when}": _processor_s() - before}


def _processor_s() -> float:
    """Of the children that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
