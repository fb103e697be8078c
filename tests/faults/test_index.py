"""Ledger and index under faults: killed while writing, damaged files, a second owner, a folder that takes no more.

Everything happens in child processes, which may be killed or crash without taking the tests along. A child is told on
its standard input what to do, one JSON object a line, and answers in lines of JSON.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TextIO

import pytest

from tests import services
from tests.forks import fork, preload

preload(
    __name__, "langchain_core.embeddings", "models.embedding", "retrieval.index.maintenance",
    "retrieval.ingest.pipeline", "retrieval.ingest.parsing", "retrieval.search.hybrid",
)  # fmt: skip
DOCUMENTS = 1100
"""In the index that gets damaged: Chroma keeps fewer than a thousand vectors in its log and writes no graph files, and ours are saved here from a
thousand on.
"""

CHILD = """
import json, os, resource, sys
from contextlib import ExitStack
from pathlib import Path

from langchain_core.embeddings import Embeddings

from foundation.components import Context, load
from foundation.errors import SixplyError
from foundation.settings import Part
from retrieval.settings import RankingSettings
from foundation.types import Scope
from models.embedding import probe
from retrieval.documents import Fingerprint, ParseLimits, Source
from retrieval.index import exact_search
from retrieval.index.maintenance import open_index
from retrieval.ingest.pipeline import Ingestor
from retrieval.ingest.preparation import Item
from retrieval.ingest.parsing import parse_here
from retrieval.search.hybrid import HybridRetriever

ACME = Scope("acme")
exact_search.SAVED_FROM = int(os.environ.get("SAVED_FROM", 1000))


class Counting(Embeddings):
    def __init__(self, inner):
        self.inner, self.model_name, self.passages = inner, inner.model_name, 0

    def embed_documents(self, texts):
        self.passages += len(texts)
        return self.inner.embed_documents(texts)

    def embed_query(self, text):
        return self.inner.embed_query(text)


def tell(**answer):
    print(json.dumps(answer), flush=True)


def item(name, text):
    return Item(Source(name, "acme", media_type="text/plain"), text.encode(), "document.txt")


class System:
    def __init__(self, folder, stack):
        context = Context(data_dir=folder)
        self.embedder = Counting(load("models.embedder", Part(use="hashing"), context))
        self.ledger = load("retrieval.ledger", Part(use="sqlite"), context)
        stack.callback(self.ledger.close)
        self.vectors = load("retrieval.vectors", Part(use=os.environ.get("VECTORS", "exact")), context)
        stack.callback(self.vectors.close)
        chunker = load("retrieval.chunker", Part(use="structure"), context)
        probes = probe(self.embedder)
        open_index(self.ledger, self.vectors, Fingerprint("hashing", len(probes[0]), probes, chunker.version))
        self.embedder.passages -= len(probes)
        self.ingestor = Ingestor(
            ledger=self.ledger, vectors=self.vectors, embedder=self.embedder, chunker=chunker,
            parse=lambda content, name: parse_here(content, name, ParseLimits()), clock=context.clock,
        )
        self.retriever = HybridRetriever(
            ledger=self.ledger, vectors=self.vectors, embedder=self.embedder,
            reranker=load("models.reranker", Part(use="none"), context), ranking=RankingSettings(), clock=context.clock,
        )

    def add(self, documents):
        report = self.ingestor.ingest(item(name, text) for name, text in documents)
        return {"added": report.added, "refused": len(report.refused)}

    def ask(self, queries):
        found = [self.retriever.retrieve(query, ACME) for query in queries]
        return {"found": [[[hit.source.uri, hit.chunk.text, dict(hit.ranks)] for hit in hits] for hits in found]}

    def count(self):
        return {
            "documents": len(self.ledger.documents(ACME)), "chunks": self.ledger.chunk_count(),
            "vectors": self.vectors.count(), "embedded": self.embedder.passages,
        }

    def cap_files(self, size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        return {"capped": size}

    def uncap_files(self):
        return self.cap_files(resource.RLIM_INFINITY)


with ExitStack() as stack:
    try:
        system = System(Path(sys.argv[1]), stack)
    except SixplyError as error:
        tell(error=error.code, message=str(error))
        sys.exit(0)
    tell(opened=True)
    for line in sys.stdin:
        told = json.loads(line)
        try:
            tell(**getattr(system, told.pop("do"))(**told))
        except SixplyError as error:
            tell(error=error.code, message=str(error))
"""


def be_child(folder: str, orders: Connection, answers: Connection) -> None:
    """What a forked child does. Any warning of its own ends it, as it ends those that are started anew."""
    os.dup2(orders.fileno(), 0)
    os.dup2(answers.fileno(), 1)
    sys.stdin, sys.stdout, sys.argv = open(0, encoding="utf-8"), open(1, "w", encoding="utf-8"), ["child", folder]  # noqa: SIM115 - as long as it lives
    warnings.simplefilter("error")
    exec(compile(CHILD, "child", "exec"), {"__name__": "__main__"})


class Child:
    """A process that owns a ledger and an index."""

    def __init__(self, folder: Path, *, inside: Sequence[str] | None = None) -> None:
        """`inside` is a command that runs another one in a restricted surrounding. With one, even an empty one, it is started anew, and a
        warning of an import ends it too; the others are forked.
        """
        self.heard: list[dict[str, Any]] = []
        self.process, self._wait, self._orders, self._answers = (
            _fork(folder) if inside is None else _start_inside(folder, inside)
        )

    def send(self, do: str, **told: Any) -> None:
        self._orders.write(json.dumps({"do": do, **told}) + "\n")
        self._orders.flush()

    def line(self) -> dict[str, Any] | None:
        """The next answer; `None` when the process has ended."""
        text = self._answers.readline()
        answer: dict[str, Any] | None = json.loads(text) if text.endswith("\n") else None
        return answer

    def answer(self) -> dict[str, Any]:
        answer = self.line()
        assert answer is not None, f"the process died with status {self._wait()}"
        self.heard.append(answer)
        return answer

    def ask(self, do: str, **told: Any) -> dict[str, Any]:
        self.send(do, **told)
        return self.answer()

    def close(self) -> None:
        """End in order: everything is closed and the index gets its checksum."""
        self._orders.close()
        assert self._wait() == 0
        self._answers.close()

    def kill(self) -> None:
        self.process.kill()
        self._wait()
        with suppress(BrokenPipeError):
            self._orders.close()
        self._answers.close()


Started = tuple[Any, Callable[[], int | None], TextIO, TextIO]
"""A process, how to wait for its exit status, and its two ends."""


def _fork(folder: Path) -> Started:
    (theirs, orders), (answers, back) = Pipe(duplex=False), Pipe(duplex=False)
    process = fork(be_child, str(folder), theirs, back)
    ends = os.fdopen(os.dup(orders.fileno()), "w"), os.fdopen(os.dup(answers.fileno()))
    for end in (theirs, orders, answers, back):
        end.close()

    def wait() -> int | None:
        process.join()
        return process.exitcode

    return process, wait, *ends


def _start_inside(folder: Path, inside: Sequence[str]) -> Started:
    process = subprocess.Popen(
        [*inside, sys.executable, "-W", "error", "-c", CHILD, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([".", *sys.path])},
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    return process, process.wait, process.stdin, process.stdout


Start = Callable[..., Child]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[Child] = []

    def launch(folder: Path, **options: Any) -> Child:
        started.append(Child(folder, **options))
        return started[-1]

    yield launch
    for child in started:
        child.kill()


@functools.cache
def words(document: int, version: int = 0, part: int = 0) -> str:
    """Eight words that occur nowhere else, so that both searches find a passage by them."""
    digest = hashlib.shake_128(f"{document} {version} {part}".encode()).hexdigest(48)
    return " ".join(f"w{digest[place : place + 12]}" for place in range(0, 96, 12))


def name(document: int) -> str:
    return f"{document:04}.txt"


def opened(child: Child) -> Child:
    assert child.answer() == {"opened": True}
    return child


def finds_all(child: Child, documents: Sequence[int]) -> None:
    """Each document first in both searches: a lost vector shows, although the keywords would still find the text."""
    found = child.ask("ask", queries=[words(number) for number in documents])["found"]
    assert [hits[0] for hits in found] == [
        [name(number), words(number), {"keyword": 1, "vector": 1}] for number in documents
    ]


# -- killed ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_kill_during_a_rebuild_is_made_up_for_at_the_next_start(
    killed_index: Path, tmp_path: Path, start: Start
) -> None:
    folder = shutil.copytree(killed_index, tmp_path / "var")
    shutil.rmtree(folder / "index")
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # noqa: T201  # with it, a failure can be repeated
    dice = random.Random(seed)
    for _ in range(3):
        child = start(folder)
        time.sleep(dice.uniform(0.5, 3))
        child.kill()
    finds_everything(opened(start(folder)))


def test_after_a_kill_a_small_index_is_filled_from_the_ledger(tmp_path: Path, start: Start) -> None:
    child = opened(start(tmp_path))
    child.ask("add", documents=[[name(number), words(number)] for number in range(20)])
    child.close()
    child = opened(start(tmp_path))
    child.ask("add", documents=[[name(number), words(number)] for number in range(20, 40)])
    child.kill()
    again = opened(start(tmp_path))
    assert again.ask("count") == {"documents": 40, "chunks": 40, "vectors": 40, "embedded": 0}
    finds_all(again, range(0, 40, 3))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kills_while_vectors_are_moved_to_files_lose_nothing_and_neither_does_damage(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAVED_FROM", "4")
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # noqa: T201  # with it, a failure can be repeated
    dice, there = random.Random(seed), 0
    for kill in range(8):
        child = opened(start(tmp_path))
        for number in range(there, there + dice.randrange(1, 12)):
            assert child.ask("add", documents=[[name(number), words(number)]]) == {"added": 1, "refused": 0}
            there += 1
        child.send("add", documents=[[name(number), words(number)] for number in range(500, 520)])
        time.sleep(dice.uniform(0, 0.02))
        child.kill()
        saved = [file for file in (tmp_path / "index").glob("rows/*") if file.stat().st_size]
        if kill % 3 == 2 and saved:
            flipped(dice.choice(saved))
    again = opened(start(tmp_path))
    counted = again.ask("count")
    assert counted["vectors"] == counted["chunks"] >= there
    assert counted["embedded"] == 0
    finds_all(again, range(there))
    again.close()
    assert (tmp_path / "index" / "rows.txt").exists()


# -- damaged -----------------------------------------------------------------------------------------------------------


def shortened(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flipped(path: Path) -> None:
    """One bit in each of a hundred places, spread evenly."""
    content = bytearray(path.read_bytes())
    for place in range(0, len(content), max(1, len(content) // 100)):
        content[place] ^= 1 << place % 8
    path.write_bytes(content)


def deleted(path: Path) -> None:
    path.unlink()


DAMAGES = [shortened, flipped, deleted]


@pytest.fixture(scope="module")
def killed_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose owner was killed, at rest, with all documents acknowledged."""
    folder = tmp_path_factory.mktemp("killed") / "var"
    child = opened(Child(folder))
    documents = [(name(number), words(number)) for number in range(DOCUMENTS)]
    assert child.ask("add", documents=documents) == {"added": DOCUMENTS, "refused": 0}
    child.kill()
    return folder


@pytest.fixture(scope="module")
def closed_index(killed_index: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, but its owner closed it in order."""
    folder = shutil.copytree(killed_index, tmp_path_factory.mktemp("closed") / "var")
    child = opened(Child(folder))
    child.close()
    return folder


def finds_everything(child: Child) -> None:
    """As many vectors as passages, each of a sample found by its own, and nothing was embedded to get there."""
    assert child.ask("count") == {
        "documents": DOCUMENTS,
        "chunks": DOCUMENTS,
        "vectors": DOCUMENTS,
        "embedded": 0,
    }
    finds_all(child, range(0, DOCUMENTS, 20))


@pytest.mark.slow
def test_a_lost_index_is_filled_from_the_ledger(closed_index: Path, tmp_path: Path, start: Start) -> None:
    folder = shutil.copytree(closed_index, tmp_path / "var")
    shutil.rmtree(folder / "index")
    finds_everything(opened(start(folder)))


@pytest.mark.slow
def test_an_index_that_is_newer_than_a_restored_ledger_forgets_what_the_ledger_does_not_know(
    closed_index: Path, tmp_path: Path, start: Start
) -> None:
    folder = shutil.copytree(closed_index, tmp_path / "var")
    child = opened(start(folder))
    child.ask("add", documents=[["later.txt", words(DOCUMENTS)]])
    child.close()
    for path in folder.glob("ledger.sqlite*"):
        path.unlink()
    for path in closed_index.glob("ledger.sqlite*"):
        shutil.copy(path, folder)
    finds_everything(opened(start(folder)))


@pytest.mark.parametrize("damage", [shortened, flipped], ids=lambda damage: damage.__name__)
def test_a_damaged_ledger_is_an_error_that_says_so_and_is_left_as_it_was(
    damage: Callable[[Path], None], tmp_path: Path, start: Start
) -> None:
    child = opened(start(tmp_path))
    child.ask("add", documents=[[name(number), words(number)] for number in range(50)])
    child.close()
    damage(tmp_path / "ledger.sqlite")
    before = (tmp_path / "ledger.sqlite").read_bytes()
    answer = start(tmp_path).answer()
    assert answer["error"] == "store_unavailable"
    assert "damaged" in answer["message"]
    assert (tmp_path / "ledger.sqlite").read_bytes() == before


# -- owned by another --------------------------------------------------------------------------------------------------


def test_a_second_process_is_refused_and_told_whom_to_stop(tmp_path: Path, start: Start) -> None:
    first = opened(start(tmp_path))
    answer = start(tmp_path).answer()
    assert answer["error"] == "store_in_use"
    assert str(first.process.pid) in answer["message"]
    assert first.ask("add", documents=[[name(1), words(1)]]) == {"added": 1, "refused": 0}
    finds_all(first, [1])


# -- a folder that takes no more ---------------------------------------------------------------------------------------


def test_a_write_that_finds_no_room_is_an_error_and_leaves_nothing_half_written(tmp_path: Path, start: Start) -> None:
    child = opened(start(tmp_path))
    child.ask("add", documents=[[name(1), words(1)]])
    largest = max(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    child.ask("cap_files", size=largest + 20_000)
    big = "\n\n".join(words(2, 0, part) for part in range(2000))
    answer = child.ask("add", documents=[[name(2), big]])
    assert answer["error"] in {"store_unavailable", "storage_full"}
    finds_all(child, [1])
    assert child.ask("count")["documents"] == 1
    child.ask("uncap_files")
    assert child.ask("add", documents=[[name(3), words(3)]]) == {"added": 1, "refused": 0}
    child.close()
    again = opened(start(tmp_path))
    finds_all(again, [1, 3])
    assert again.ask("count") == {"documents": 2, "chunks": 2, "vectors": 2, "embedded": 0}


@pytest.fixture
def small_disk(tmp_path: Path) -> list[str]:
    """A command that runs another one with a file system of 3 MB mounted at `tmp_path`."""
    mount = f'mount -t tmpfs -o size=3m none "{tmp_path}" && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        services.refused("mount a small file system (unshare of util-linux, and user namespaces)")
    return command


@pytest.mark.slow
def test_a_full_disk_is_named_and_what_was_acknowledged_stays(
    small_disk: list[str], tmp_path: Path, start: Start
) -> None:
    child = opened(start(tmp_path, inside=small_disk))
    kept = 0
    for number in range(100):
        rest = "\n\n".join(words(number, 0, part) for part in range(1, 300))
        answer = child.ask("add", documents=[[name(number), f"{words(number)}\n\n{rest}"]])
        if "error" in answer:
            break
        kept += 1
    assert answer["error"] == "storage_full"
    assert kept
    found = child.ask("ask", queries=[words(number) for number in range(kept)])["found"]
    assert [hits[0][0] for hits in found] == [name(number) for number in range(kept)]
    assert child.ask("count")["documents"] in {kept, kept + 1}  # one that the index alone had no room for is stored


@pytest.fixture
def bound_by_permissions() -> list[str]:
    """A command that runs another one without the superuser's right to write everywhere."""
    if os.geteuid():
        return []
    if not shutil.which("setpriv"):
        pytest.skip("the superuser may write everywhere, and setpriv of util-linux is not installed")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]


@pytest.mark.parametrize("filled", [False, True], ids=["empty", "filled"])
def test_a_read_only_folder_is_an_error_that_names_it(
    filled: bool, bound_by_permissions: list[str], tmp_path: Path, start: Start
) -> None:
    folder = tmp_path / "var"
    folder.mkdir()
    if filled:
        child = opened(start(folder))
        child.ask("add", documents=[[name(1), words(1)]])
        child.close()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for path in (*folder.rglob("*"), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    answer = start(folder, inside=bound_by_permissions).answer()
    assert answer["error"] == "store_unavailable"
    assert str(folder) in answer["message"]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    folder.chmod(0o755)
