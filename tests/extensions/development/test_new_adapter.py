"""`sixply adapter`: the file that it writes is in order as it stands, and keeps no promise yet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from extensions.development import new_adapter, ports
from extensions.development.ports import Port
from foundation.errors import InvalidRequest
from retrieval.contract import VectorIndex
from tests.one_mypy import check_types

PORTS = list(ports.CONTRACTS)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One new adapter a port, each in a module of its own."""
    folder = Path(tmp_path_factory.mktemp("written"))
    for name in PORTS:
        module = f"acme_{name.replace('.', '_')}"
        (folder / f"{module}.py").write_text(new_adapter.source(Port(name), "acme"), encoding="utf-8")
    return folder


def run(*arguments: str, path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | environment | {"PYTHONPATH": str(path)}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, env=environment, timeout=540
    )


def test_the_file_of_every_port_passes_the_linter_and_the_formatter(written: Path) -> None:
    """The rule on OpenTelemetry's SDK goes by folder, and an exporter's belongs in the folder of exporters."""
    files = [str(file) for file in written.glob("*.py")]
    linted = run("-m", "ruff", "check", "--config", "pyproject.toml", "--ignore", "TID251", *files, path=written)
    assert linted.returncode == 0, linted.stdout
    formatted = run("-m", "ruff", "format", "--config", "pyproject.toml", "--diff", *files, path=written)
    assert formatted.returncode == 0, formatted.stdout


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_file_of_every_port_has_the_types_of_its_contract(written: Path) -> None:
    check_types(*written.glob("*.py"))


def test_a_new_adapter_can_be_listed_and_keeps_no_promise_yet(written: Path) -> None:
    """All of them in one run, and each once, not also in its wrapper: nothing is kept that would look different in there. The suite of
    the tools has arguments for those of the example only, and fails before.
    """
    script = f"""
import json
from extensions.development import contract_tests
parts = {{name: [{{"use": f"acme_{{name.replace('.', '_')}}:build"}}] for name in {PORTS}}}
told = contract_tests.Telling(parts, quiet=True)
from extensions.development.ports import Port
contract_tests._pytest([str(Port(name).suite) for name in parts], parts, told)
print(json.dumps([(one.port, one.outcome, one.reason) for one in told.promises]))
"""
    ran = run("-c", script, path=written, PYTEST_ADDOPTS="-k 'not traced'")
    told = json.loads(ran.stdout.splitlines()[-1])
    for name in PORTS:
        of_port = [(outcome, reason) for port, outcome, reason in told if port == name]
        broken = [reason for outcome, reason in of_port if outcome == "broken"]
        assert broken, (name, of_port)
        assert name == "orchestration.tools" or any("is not written yet" in reason for reason in broken), broken


def test_every_method_of_a_protocol_is_there_with_its_promise() -> None:
    text = new_adapter.source(Port("retrieval.vectors"), "acme")
    for method in ("upsert", "delete", "search", "sequence", "set_sequence", "count", "clear", "close"):
        assert f"    def {method}(" in text
    assert f'"""{VectorIndex.sequence.__doc__}"""' in text
    assert "def build(options: Options, context: Context) -> VectorIndex:" in text


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "retrieval" / "vectors").mkdir(parents=True)
    port = ports.port("retrieval/vectors")
    path = new_adapter.write(port, "acme", root=tmp_path)
    path.write_text("mine")
    with pytest.raises(InvalidRequest, match="left alone"):
        new_adapter.write(port, "acme", root=tmp_path)
    assert path.read_text() == "mine"
    with pytest.raises(InvalidRequest, match="left alone"):
        new_adapter.write(port, "chroma", root=tmp_path)


@pytest.mark.parametrize("name", ["Acme", "my-vectors", "1st", "../acme", "class", "a.b", ""])
def test_a_name_that_no_module_can_have_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot name an adapter"):
        new_adapter.write(ports.port("retrieval.vectors"), name, root=tmp_path)


def test_elsewhere_than_in_the_repository_it_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="repository's root"):
        new_adapter.write(ports.port("retrieval.vectors"), "acme", root=tmp_path)


@pytest.mark.parametrize("name", PORTS)
def test_it_says_what_to_do_next(name: str) -> None:
    port = Port(name)
    said = new_adapter.next_steps(port, "acme", port.folder / "acme.py")
    assert f"make contracts PORT={port.folder} NAME=acme" in said
    assert 'use = "acme"' in said or name == "retrieval.parsers"
