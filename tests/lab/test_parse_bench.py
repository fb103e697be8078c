"""The parser bench counts what happens to each file, and its damage can be repeated."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import pytest

from foundation.errors import DocumentRefused, InvalidRequest
from lab.bench.parse import bench_parse, bench_strings, mutations, parse_one, summary
from retrieval.documents import Parsed
from retrieval.ingest.sandbox import ParserPool
from retrieval.settings import ParsingSettings
from tests.contracts.parser_samples import SAMPLES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("documents")
    for suffix, sample in SAMPLES.items():
        (made / f"sample{suffix}").write_bytes(sample())
    (made / "deeper").mkdir()
    (made / "deeper" / "movie.mp4").write_bytes(b"\x00")
    (made / "nothing.txt").write_bytes(b"")
    return made


def test_every_file_and_every_damaged_copy_ends_in_text_or_in_a_typed_reason(folder: Path) -> None:
    figures = bench_parse(folder, ParsingSettings(), mutate=120, seed=11)

    assert figures["files"] == len(SAMPLES) + 2 == figures["text"] + figures["refused"]
    assert figures["reasons"] == {"unsupported": 1, "empty": 1}
    assert figures["mutated_files"] == 120 == figures["mutated_text"] + figures["mutated_refused"]
    assert figures["failed"] == figures["mutated_failed"] == figures["mutated_crashed"] == 0
    assert {row["file"] for row in figures["rows"]} >= {"deeper/movie.mp4", "sample.pdf"}
    if sys.platform == "linux":
        assert all(10 < row["peak_mb"] < 512 for row in figures["rows"])


def test_a_folder_without_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no file"):
        bench_parse(tmp_path, ParsingSettings())


def test_a_seed_makes_the_same_damage_again_and_another_seed_makes_another(folder: Path) -> None:
    seeds = sorted(path for path in folder.iterdir() if path.is_file() and path.stat().st_size)

    first = list(mutations(seeds, 30, 1))
    assert first == list(mutations(seeds, 30, 1)) != list(mutations(seeds, 30, 2))
    assert sum(content == (folder / name).read_bytes() for name, content in first) <= 3


class Raises:
    """A pool whose parser raises what no parser may."""

    pid = None

    def __init__(self, error: Exception) -> None:
        self.error = error

    def parse(self, content: bytes, name: str) -> Parsed:
        raise self.error


def test_an_error_of_no_type_of_ours_counts_as_failed_and_a_refusal_does_not() -> None:
    rows = [
        parse_one(Raises(error), b"", "a.txt", "a.txt")  # type: ignore[arg-type]
        for error in (KeyError("x"), DocumentRefused("no", reason="crashed"), DocumentRefused("no", reason="empty"))
    ]

    assert [row.outcome for row in rows] == ["failed", "refused", "refused"]
    assert (summary(rows)["failed"], summary(rows)["crashed"]) == (1, 1)


def test_strings_are_tried_in_every_use_and_what_breaks_is_reported() -> None:
    class Fragile:
        def ingest_one(self, item: object, *, scope: None) -> None:
            pass

        def retrieve(self, query: str, scope: object) -> list[object]:
            raise ZeroDivisionError if query == "bad" else DocumentRefused("no", reason="empty")

    part = Fragile()
    figures = bench_strings(["good", "bad"], ingestor=part, retriever=part)  # type: ignore[arg-type]

    assert figures["strings_outcomes"]["name: taken"] == 2
    assert figures["strings_outcomes"]["query: empty"] == 1
    assert [(one["string"], one["use"]) for one in figures["strings_failures"]] == [("bad", "query")]


def test_the_peak_is_measured_for_each_document_alone() -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux forgets a peak")
    with closing(ParserPool(ParsingSettings())) as pool:
        pool.parse(b"x", "a.txt")
        large = parse_one(pool, b'{"a": "' + b"x" * 4_000_000 + b'"}', "a.json", "large")
        small = parse_one(pool, b"x", "a.txt", "small")

    assert large.peak_mb is not None
    assert small.peak_mb is not None
    assert large.peak_mb > small.peak_mb
