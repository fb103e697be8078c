"""`sixply contracts`: which tests run for which part, and how it tells what came of them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from extensions.development import contract_tests, ports
from foundation.errors import InvalidRequest, UnknownPart
from foundation.settings import Part
from models.settings import ModelsSettings
from retrieval.settings import RetrievalSettings
from serving.settings import Settings

pytestmark = pytest.mark.early


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, Any]]]:
    """What pytest would have been called with, and on which parts."""
    calls: list[tuple[list[str], dict[str, Any]]] = []

    class Pytest:
        @staticmethod
        def main(arguments: list[str], plugins: list[object]) -> int:
            calls.append((arguments, json.loads(os.environ["CONTRACT_PARTS"])))
            return 0

    monkeypatch.setitem(sys.modules, "pytest", Pytest)
    return calls


def run(settings: Settings, port: str | None = None, name: str | None = None, options: str | None = None) -> bool:
    return contract_tests.run(settings, port, name, options=options, json=None)


def test_the_configured_part_of_a_port_is_tested_with_its_options(called: Any) -> None:
    part = Part.model_validate({"use": "hashing", "dimensions": 64})
    assert not run(Settings(models=ModelsSettings(embedder=part)), "models.embedder"), "nothing was tested"
    assert called[0][0][0] == "tests/contracts/test_embedder.py"
    assert called[0][1] == {"models.embedder": [{"use": "hashing", "dimensions": 64}]}


def test_another_part_can_be_named_with_its_options(called: Any) -> None:
    run(Settings(), "models/embedders", "hashing", '{"dimensions": 32}')
    assert called[0][1] == {"models.embedder": [{"use": "hashing", "dimensions": 32}]}


def test_a_stores_own_address_is_never_given_to_tests_that_clear_it(called: Any) -> None:
    part = Part.model_validate({"use": "memory", "dsn": "postgresql://in-use/"})
    run(Settings(retrieval=RetrievalSettings(vectors=part)), "retrieval/vectors")
    assert called[0][1] == {"retrieval.vectors": [{"use": "memory"}]}


def test_what_a_project_left_out_is_said_and_the_rest_is_tested(
    called: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidRequest, match="Run from the repository's root"):
        run(Settings())
    kept = ports.Port("models.embedder").suite
    kept.parent.mkdir(parents=True)
    kept.touch()
    run(Settings())
    assert called[0][0][0] == str(kept)
    assert "goes without their tests: tests/contracts/test_chat.py" in capsys.readouterr().err
    with pytest.raises(InvalidRequest, match="test_vectors"):
        run(Settings(), "retrieval.vectors")


def test_all_means_every_adapter_of_the_folder(called: Any) -> None:
    run(Settings(), "retrieval.vectors", "all")
    assert {"chroma", "memory"} <= {part["use"] for part in called[0][1]["retrieval.vectors"]}


def test_without_a_port_every_suite_runs(called: Any) -> None:
    run(Settings())
    assert set(called[0][1]) == set(ports.CONTRACTS)
    assert {str(ports.Port(name).suite) for name in ports.CONTRACTS if called[0][1][name]} <= set(called[0][0])


def test_every_port_has_a_contract_and_a_suite() -> None:
    for name in ports.CONTRACTS:
        assert ports.Port(name).suite.exists()
        assert isinstance(ports.Port(name).contract, type)


@pytest.mark.parametrize(
    ("port", "name", "options", "error", "text"),
    [
        ("models.embeder", None, None, InvalidRequest, r'Did you mean "models\.embedder"'),
        ("models.embedder", "hashin", None, UnknownPart, r'Did you mean "hashing"'),
        ("models.embedder", "no_such_package:build", None, UnknownPart, "there is no module"),
        ("models.embedder", "hashing", "dimensions=3", InvalidRequest, "not JSON"),
        ("models.embedder", "hashing", "[1]", InvalidRequest, "no JSON object"),
        (None, "hashing", None, InvalidRequest, "of which port"),
    ],
)
def test_what_cannot_be_tested_says_why(
    port: str | None, name: str | None, options: str | None, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        run(Settings(), port, name, options)


SUITE = """
import pytest

def scores_in_order(): pass
def keeps_the_input(): assert 1 == 2, "the input was sorted"
def batches(): pytest.skip("not claimed: takes one text at a time")
def streams(): pytest.skip("no server here")
def reports_usage():
    usage = None
    assert usage is not None
def closes():
    with pytest.raises(KeyError, match="closed"):
        str(1)
def truncates():
    try: raise NotImplementedError("Acme.score is not written yet")
    finally: raise NotImplementedError("Acme.close is not written yet")

@pytest.mark.parametrize("promise", [scores_in_order, keeps_the_input, batches, streams, reports_usage, closes, truncates])
@pytest.mark.parametrize("name", ["acme", "other"])
def test_it(promise, name): promise()

def fails(status):
    def behave(): return status
    return behave

@pytest.mark.parametrize("name", ["acme"])
@pytest.mark.parametrize(("behaviour", "status"), [(fails(500), 500)])
def test_a_failure_is_an_error(behaviour, status, name): pass

def test_of_the_suite_itself(): pass
"""


TELL = """
import json, pytest
from extensions.development import contract_tests as promises
told = promises.Telling({"models.reranker": [{"use": "acme"}]}, quiet=True)
told._ports = {"test_suite.py": "models.reranker"}
pytest.main(["-p", "no:randomly", "-p", "no:cacheprovider", "test_suite.py"], plugins=[told])
print("\\n" + json.dumps([(one.adapter, one.promise, one.outcome, one.reason) for one in told.promises]))
"""


def test_each_promise_is_told_in_a_sentence_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    assert json.loads(python("-c", TELL, cwd=tmp_path, path=Path.cwd()).stdout.splitlines()[-1]) == [
        ["acme", "scores in order", "kept", ""],
        ["acme", "keeps the input", "broken", "AssertionError: the input was sorted"],
        ["acme", "batches", "not claimed", "takes one text at a time"],
        ["acme", "streams", "not tested", "no server here"],
        ["acme", "reports usage", "broken", "assert usage is not None  (found: None is not None)"],
        ["acme", "closes", "broken", "it must raise KeyError here, and raised nothing: test_suite.py, line 13"],
        ["acme", "truncates", "broken", "NotImplementedError: Acme.score is not written yet"],
        ["acme", "a failure is an error (500)", "kept", ""],
    ]


RERANKER = """
from pydantic import BaseModel

class Options(BaseModel):
    factor: float

class Acme:
    def __init__(self, factor): self.factor = factor
    def score(self, query, texts): return [self.factor for text in texts[1:]]

def build(options, context): return Acme(options.factor)
"""


def test_a_part_from_outside_the_tree_goes_through_the_same_suite(tmp_path: Path) -> None:
    (tmp_path / "acme_reranker.py").write_text(RERANKER)
    arguments = ["--port", "models/rerankers", "--name", "acme_reranker:build", "--options", '{"factor": 2}']
    ran = python("-m", "serving.cli", "contracts", *arguments, "--json", "-", cwd=Path.cwd(), path=tmp_path)
    told = json.loads(ran.stdout)
    assert ran.returncode == 1, ran.stderr
    broken = {one["promise"] for one in told["promises"] if one["outcome"] == "broken"}
    assert {"gives one score a text (plain)", "gives one score a text (traced)"} <= broken
    assert told["kept"] > 0


def test_a_part_whose_packages_bring_plug_ins_of_pytest_goes_through_its_suite() -> None:
    """LangChain imports anyio, whose plug-in pytest would then warn about; and warnings are errors here."""
    assert_prices_kept()


@pytest.mark.parametrize(
    "own",
    [
        {"PYTEST_ADDOPTS": "--randomly-seed=1 --numprocesses=2 -k nothing --rootdir=/tmp"},
        {"PYTEST_PLUGINS": "nowhere.at_all"},
        {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    ],
)
def test_what_a_person_has_set_for_runs_of_pytest_by_hand_changes_nothing(own: dict[str, str]) -> None:
    assert_prices_kept(**own)


def assert_prices_kept(**own: str) -> None:
    arguments = ["-m", "serving.cli", "contracts", "--port", "models.prices", "--json", "-"]
    ran = python(*arguments, cwd=Path.cwd(), path=Path.cwd(), **own)
    told = json.loads(ran.stdout)
    assert (ran.returncode, set(told) - {"kept"}) == (0, {"promises"}), ran.stderr[-2000:]
    assert told["kept"] >= 9


@pytest.mark.parametrize(("code", "why"), [(4, "pytest could not run them"), (0, "no suite has a test for this part")])
def test_where_no_promise_was_tested_it_says_whether_pytest_ran(
    code: int, why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pytest, "main", lambda *_, **__: code)
    assert not run(Settings(), "models.prices")
    assert f"No promise was tested: {why}" in capsys.readouterr().out


def python(*arguments: str, cwd: Path, path: Path, **own: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(path)} | own
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=cwd, env=environment
    )
