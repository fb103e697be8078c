"""The parts in PostgreSQL are listed with what they need, checked by `make doctor`, and refused while their extension is off."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest

from extensions.development.list_parts import Adapter, adapters
from foundation import components
from foundation.components import Context
from foundation.errors import MissingDependency, UnknownPart
from foundation.settings import Part
from foundation.stores.sqlite_file import SqliteFile
from serving.cli import doctor
from serving.cli.doctor import check_part
from serving.settings import Loaded, Settings, context_of, load
from tests.doubles.stacks import stack


def listed() -> dict[tuple[str, str], Adapter]:
    return {(one.port, one.name): one for one in adapters()}


def test_each_is_told_with_its_packages() -> None:
    found = listed()
    index = found["retrieval.vectors", "pgvector"]
    assert index.options
    assert (index.extras, index.options["namespace"]) == (("postgres",), "sixply")
    assert found["retrieval.ledger", "postgres"].extras == ("postgres",), "its package is imported one file further"


def test_one_whose_package_is_missing_is_listed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langgraph.checkpoint.postgres", None)
    monkeypatch.delitem(sys.modules, "extensions.postgres.checkpoints", raising=False)
    one = listed()["orchestration.checkpoints", "postgres"]
    assert (one.options, one.extras) == (None, ("postgres",))


def test_as_compose_starts_it_a_part_needs_no_credential() -> None:
    assert check_part("retrieval.ledger", Part(use="postgres")).ok


def test_a_database_that_is_down_is_a_failed_check(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {
            "foundation": {"data_dir": tmp_path},
            "models": {"chat": {"use": "scripted"}, "embedder": {"use": "hashing"}},
            "retrieval": {"ledger": {"use": "postgres", "dsn": "host=127.0.0.1 port=1"}, "vectors": {"use": "memory"}},
            "serving": {"http": {"port": 0}},
        }
    )
    check = doctor._run_guarded(partial(doctor.check_start, Loaded(settings, {})))
    assert not check.ok
    assert "PostgreSQL database cannot be used" in check.advice


@pytest.mark.parametrize(
    "text",
    [
        '[foundation.records]\nuse = "postgres"',
        '[retrieval.ledger]\nuse = "postgres"',
        '[retrieval.vectors]\nuse = "pgvector"',
        '[orchestration.checkpoints]\nuse = "postgres"',
    ],
)
def test_while_it_is_off_each_part_is_refused_with_the_command(tmp_path: Path, text: str) -> None:
    file = tmp_path / "stack.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UnknownPart, match=r"comes with the extension .*make add NAME=postgres"):
        load(file)


def test_records_of_a_stack_that_says_nothing_are_files(tmp_path: Path) -> None:
    assert context_of(load(stack(tmp_path)).settings).records is SqliteFile


@pytest.mark.parametrize("package", ["psycopg", "psycopg_pool", "langgraph.checkpoint.postgres"])
def test_a_part_whose_package_is_missing_says_what_to_run(
    package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = f"lacks_{package.replace('.', '_')}"
    (tmp_path / f"{module}.py").write_text(f"raise ModuleNotFoundError('No module named x', name={package!r})\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MissingDependency, match="make setup WITH=postgres"):
        components.load("retrieval.vectors", Part(use=f"{module}:build"), Context(data_dir=tmp_path))
