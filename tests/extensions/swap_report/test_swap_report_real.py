"""The swaps that people ask for first, and a system against itself, by `sixply swap-report` on the bundled models.

What is asked of a loaded CI machine are quality and the report itself; times and money may differ a hundredfold here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from extensions.swap_report import command as swap_report
from models import weights
from observability.evaluation.baseline import Side
from observability.evaluation.trials import Material
from serving.cli import main
from tests import services
from tests.extensions.swap_report.test_swap_report import folder_of_questions

ROOT = Path(__file__).parents[3]
MEASURED = ("answer_p50_ms", "search_p50_ms", "usd_per_answer", "peak_rss_mb")
QUALITY = (
    "recall_at_10",
    "ndcg_at_10",
    "mrr_at_10",
    "answer_contained",
    "citation_precision",
    "citation_recall",
    "passed",
)


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "a.toml"
    shipped = (ROOT / "stack.toml").read_text(encoding="utf-8")
    allowed = "".join(f"{name} = 100.0\n" for name in MEASURED)
    path.write_text(
        shipped.replace('data_dir = "var"', f'data_dir = "{tmp_path / "var"}"').replace(
            '"policy.toml"', f'"{ROOT / "policy.toml"}"'
        )
        + f"\n[observability.compare]\n{allowed}"
    )
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return folder_of_questions(tmp_path / "data")


@pytest.fixture(scope="module")
def shipped() -> dict[str, Side]:
    """The side of the shipped stack on each set of questions, as the first test that needed it measured it."""
    return {}


def reported(
    stack: Path, swap: str, data: Path, tmp_path: Path, shipped: dict[str, Side], *, both: bool = False
) -> tuple[int, dict[str, Any]]:
    b, out, run = tmp_path / "b.toml", tmp_path / "out.json", swap_report.run
    b.write_text(swap)

    def measure(orders: Sequence[swap_report.Order], material: Material, **how: Any) -> list[Side]:
        a = None if both else shipped.get(material.trials_digest)
        sides = run(orders[1:] if a else orders, material, **how)
        shipped.setdefault(material.trials_digest, sides[0])
        return [a, *sides] if a else sides

    arguments = ["--a", str(stack), str(b), "--data", str(data), "--repeats", "1", "--json", str(out)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(swap_report, "run", measure)
        ran = CliRunner().invoke(main.app, ["swap-report", *arguments])
    assert ran.exit_code in (0, 1), ran.output
    return ran.exit_code, json.loads(out.read_text())


def inline(**options: Any) -> str:
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in options.items()) + " }"


@pytest.mark.real_model
def test_a_system_against_itself_is_equal(stack: Path, data: Path, tmp_path: Path, shipped: dict[str, Side]) -> None:
    code, told = reported(stack, stack.read_text(), data, tmp_path, shipped, both=True)
    assert (code, told["verdict"], told["changed"]) == (0, "equal", [])
    assert {told["metrics"][name]["diff"] for name in QUALITY} == {0.0}


@pytest.mark.real_model
def test_another_embedder_is_held_against_minilm(
    stack: Path, data: Path, tmp_path: Path, shipped: dict[str, Side]
) -> None:
    """The hashing double knows no meaning, and its scores are not those that the thresholds were set for."""
    code, told = reported(stack, 'models.embedder = { use = "hashing" }', data, tmp_path, shipped)
    assert told["metrics"]["passed"]["a"] == 1.0
    assert code == int(told["verdict"] == "worse")
    assert {"low", "high", "diff"} <= told["metrics"]["ndcg_at_10"].keys()
    assert told["runs"]["b"]["stack"]["models.embedder.use"] == "hashing"


@pytest.mark.real_model
def test_a_server_of_openais_api_in_place_of_the_bundled_model(
    stack: Path, tmp_path: Path, shipped: dict[str, Side]
) -> None:
    """The search is the same, and every question was answered by one side or the other, or was told why not."""
    server = {"model": weights.SMOLLM2.name, "base_url": f"{services.llama()}/v1", "api_key": services.LLAMA_KEY}
    swap = f"models.chat = {inline(use='openai_compatible', **server)}"
    code, told = reported(stack, swap, folder_of_questions(tmp_path / "data", turns=1), tmp_path, shipped)
    assert code == int(told["verdict"] == "worse")
    assert told["metrics"]["ndcg_at_10"]["diff"] == 0.0
    assert [row["status"] for row in told["runs"]["b"]["rows"] if row["status"] == "error"] == []
    assert services.LLAMA_KEY not in json.dumps(told)
