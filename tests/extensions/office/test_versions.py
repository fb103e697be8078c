"""The parsers of office documents have versions of their own, which say what they and what they share make of a document."""

from __future__ import annotations

import ast
import hashlib
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from extensions.office import extension
from foundation.components import find_modules
from foundation.errors import DocumentRefused
from foundation.extensions import find_modules as modules_of
from retrieval.documents import ParseLimits
from retrieval.ingest import parsing
from retrieval.ingest.parsing import find_newer_parser, limits_of, parse_here, parser_versions
from retrieval.ingest.sandbox import ParserPool
from retrieval.settings import ParsingSettings
from serving.settings import context_of, load
from tests.contracts.parser_samples import SAMPLES
from tests.doubles.stacks import stack
from tests.unit.retrieval.test_parser_versions import Desk, ingest

OFFICE = modules_of("retrieval.parsers", ["office"])
LIMITS = ParseLimits(parsers=OFFICE)
MAIL = "Subject: Fares\nMIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n\n<p>A mail about fares.</p>\n"
FILES = {"fares.html": "<h1>Fares</h1><p>A ticket costs 14.50 euros.</p>", "letter.eml": MAIL}
OUTPUTS = {
    "docx 10": "f3d4bbbe9142c5d8",
    "eml 6": "4116449e006de8ec",
    "pptx 9": "470cc47b6376770b",
    "xlsx 11": "37c484f3ae79fa0f",
}
"""What each version of a parser makes of the samples of its suffixes."""
SHARED = {"drawings": {"docx", "pptx", "xlsx"}, "ooxml": {"docx", "pptx", "xlsx"}, "word_numbering": {"docx"}}
FOLDER = Path(__file__).parents[3] / "extensions" / "office"


@pytest.fixture
def desk(data_dir: Path) -> Desk:
    made = Desk("sqlite", data_dir, LIMITS)
    with made.open() as library:
        assert ingest(library, FILES).added == len(FILES)
    return made


def test_a_mail_keeps_the_parsers_of_what_it_holds(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = desk.parsers()["letter.eml"]
    assert {version.split()[0] for version in noted} == {"eml", "html"}
    html = parsing._registry(LIMITS)[".html"]
    for suffix in html.suffixes:
        monkeypatch.setitem(parsing._registry(LIMITS), suffix, replace(html, version="html 99"))  # type: ignore[type-var]
    [eml] = [version for version in noted if version.startswith("eml")]
    assert desk.outdated() == {eml: 1, "html 99": 1}
    with desk.open() as library:
        assert ingest(library, FILES).replaced == 2
    assert desk.parsers()["letter.eml"] == (eml, "html 99")


def test_a_mail_is_newer_where_its_own_parser_or_that_of_what_it_holds_is() -> None:
    now = {version.split()[0]: version for version in parser_versions(LIMITS)}
    assert find_newer_parser("a.eml", [now["eml"], now["pdf"]], LIMITS) is None
    assert find_newer_parser("a.eml", [now["eml"], "pdf 0"], LIMITS) == now["eml"]
    assert find_newer_parser("a.eml", [now["eml"]]) is None, "while the extension is off nothing is newer"


def test_another_output_has_another_version() -> None:
    for module in OFFICE:
        parser = find_parser(module)
        digest = hashlib.blake2b(digest_size=8)
        for each in parser.suffixes:
            parsed = parse_here(SAMPLES[each](), f"sample{each}", LIMITS)
            digest.update(repr((parsed.text, parsed.blocks, parsed.title, parsed.pages, parsed.tables)).encode())
        assert OUTPUTS.get(parser.version) == digest.hexdigest(), (
            f'Raise the version of {module}, and note here "{parser.version}": "{digest.hexdigest()}".'
        )


def find_parser(module: str) -> parsing.Parser:
    return next(
        each for each in parsing._registry(LIMITS).values() if each.suffixes[0] == f".{module.rpartition('.')[2]}"
    )


def test_what_several_formats_share_is_part_of_the_versions_of_those_and_of_no_others() -> None:
    """In a process of its own, in which every parser is imported with the shared file's number raised by one."""
    program = (
        "import importlib, sys; module = importlib.import_module(f'extensions.office.{sys.argv[1]}'); "
        "[name] = [name for name in vars(module) if name.endswith('_VERSION')]; setattr(module, name, getattr(module, name) + 1); "
        "from retrieval.documents import ParseLimits; from retrieval.ingest.parsing import parser_versions; "
        "print('\\n'.join(parser_versions(ParseLimits(parsers=tuple(sys.argv[2:])))))"
    )
    for module, behind in SHARED.items():
        said = subprocess.run(
            [sys.executable, "-c", program, module, *OFFICE],
            capture_output=True, text=True, check=True, cwd=FOLDER.parents[1],
        )  # fmt: skip
        changed = {version.split()[0] for version in set(said.stdout.splitlines()) - parser_versions(LIMITS)}
        assert changed == behind, module


def test_the_list_of_what_is_shared_is_what_the_files_import() -> None:
    found: dict[str, set[str]] = {}
    for name in ("docx", "eml", "pptx", "xlsx"):
        for node in ast.walk(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("extensions.office."):
                found.setdefault(str(node.module).rpartition(".")[2], set()).add(name)
    assert found == SHARED


def test_on_its_files_are_read_and_off_they_are_refused_by_type(tmp_path: Path) -> None:
    on = context_of(load(stack(tmp_path, extensions=["office"])).settings)
    off = context_of(load(stack(tmp_path)).settings)
    assert (on.parsers, off.parsers) == (OFFICE, ())
    with closing(ParserPool(ParsingSettings(timeout_s=60), limits_of(on))) as pool:
        assert pool.parse(SAMPLES[".docx"](), "a.docx").text
    with (
        closing(ParserPool(ParsingSettings(), limits_of(off))) as pool,
        pytest.raises(DocumentRefused, match="make add NAME=office"),
    ):
        pool.parse(SAMPLES[".docx"](), "a.docx")


def test_a_mail_in_thousands_of_mails_ends_in_little_text_or_in_a_reason() -> None:
    with closing(ParserPool(ParsingSettings(timeout_s=60), LIMITS)) as pool:
        bomb = b"Content-Type: message/rfc822\n\n" * 3000 + b"hello"
        try:
            assert len(pool.parse(bomb, "deep.eml").text) <= 5_000_000
        except DocumentRefused as refused:
            assert refused.reason in {"malformed", "too_large", "empty"}  # noqa: PT017 - either is right
        assert pool.parse(b"Still here.", "next.txt").text == "Still here."


def test_its_parsers_stand_beside_those_of_the_folder() -> None:
    assert {module for _, module in extension.parts} < {*find_modules("retrieval.parsers").values()}
