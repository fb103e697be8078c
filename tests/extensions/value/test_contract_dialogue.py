"""`make business-case` where there is no contract: what is asked, what is refused, what is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from extensions.value import contract_dialogue
from extensions.value.outcome_contract import load_contract
from foundation.errors import InvalidRequest
from serving.cli import main
from tests.doubles import stacks

ANSWERS = {
    "process.name": "Lost property at the ferry", "process.volume_per_month": "400", "process.minutes_per_case": "9",
    "process.usd_per_hour": "30", "process.error_rate": "", "resolved.definition": 'Sent, with a "source".',
    "resolved.minutes_accepted": "1", "resolved.minutes_edited": "3", "resolved.minutes_rejected": "10",
    "expected.accepted": "0.5", "expected.edited": "0.2", "expected.rejected": "0.1", "expected.usd_per_answer": "0.01",
    "costs.usd_build": "5000", "costs.months_to_earn_it_back": "12", "costs.usd_run_per_month": "100", "conversion.by": "",
    "floors.answer_contained_min": "0.8", "floors.citation_precision_min": "0.8", "floors.refused_min": "0.9",
    "decision.ship_if_usd_per_month_above": "200", "decision.min_outcomes": "50", "decision.by": "2027-03-31",
    "signed.name": "Ada Example", "signed.role": "Head of lost property", "signed.on": "2027-01-15",
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    stack = stacks.stack(tmp_path, f'[observability]\noutcomes_file = "{tmp_path / "outcomes.toml"}"\n')

    def call(*more: str, keys: str | None = None) -> tuple[int, str]:
        monkeypatch.setattr("serving.cli.terminal.is_asked", lambda: keys is not None)
        words = ["business-case", "--stack", str(stack), *more]
        done = CliRunner().invoke(main.app, words, input=keys, env={"COLUMNS": "240"})
        return done.exit_code, f"{done.output}{done.exception or ''}"

    return call


def test_the_dialogue_writes_a_contract_that_holds_what_was_said(run: Callable[..., tuple[int, str]], tmp_path: Path):
    lines = [
        text for key, text in ANSWERS.items() for text in (["", "many", text] if key == "expected.edited" else [text])
    ]
    code, said = run(keys="\n".join(lines) + "\n")
    assert code == 0, said
    assert '"many" does not fit' in said
    assert "expected.edited is empty. Which share is edited." in said
    assert "decided by" in said
    contract = load_contract(tmp_path / "outcomes.toml")
    assert (contract.process.volume_per_month, contract.expected.escalated) == (400, 0.2)
    assert contract.resolved.definition == 'Sent, with a "source".'
    assert (contract.process.error_rate, contract.conversion) == (0, None)
    assert "none are counted" in (tmp_path / "outcomes.toml").read_text()
    assert (contract.signed[0].name, str(contract.decision.by)) == ("Ada Example", "2027-03-31")


def test_without_a_terminal_what_is_missing_is_said_and_can_be_given(
    run: Callable[..., tuple[int, str]], tmp_path: Path
):
    (tmp_path / "outcomes.toml").write_text("  \n")
    code, said = run("--set", "process.volume_per_month=400")
    assert code == 1
    assert "make business-case SET=" in said
    assert "  process.usd_per_hour=...  What an hour" in said
    assert "process.volume_per_month=..." not in said
    assert (tmp_path / "outcomes.toml").read_text() == "  \n"

    code, said = run("--set", "; ".join(f"{key}={text}" for key, text in ANSWERS.items() if text))
    assert code == 0, said
    assert load_contract(tmp_path / "outcomes.toml").costs.usd_build == 5000

    code, said = run("--set", "costs.usd_build=1")
    assert "is a contract already, and signed" in said
    assert load_contract(tmp_path / "outcomes.toml").costs.usd_build == 5000


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"process.volume_per_mont": "3"}, 'Did you mean "process.volume_per_month"'),
        ({"process.volume_per_month": "-3"}, "does not fit"),
        ({"expected.accepted": "0.9"}, "expected.escalated"),
        ({"signed.on": "soon"}, "signed.on"),
        ({"signed.name": " "}, "is empty"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(tmp_path: Path, given: dict[str, str], wrong: str):
    texts = [f"{key}={text}" for key, text in (ANSWERS | given).items() if text]
    with pytest.raises(InvalidRequest, match=wrong):
        contract_dialogue.write_contract(tmp_path / "outcomes.toml", texts)
    assert not (tmp_path / "outcomes.toml").exists()


def test_the_example_is_named_as_one_and_may_be_written_over(run: Callable[..., tuple[int, str]], tmp_path: Path):
    example = (
        f"# {contract_dialogue.EXAMPLES[0]}.\n{(Path(__file__).parents[2] / 'doubles' / 'outcomes.toml').read_text()}"
    )
    (tmp_path / "outcomes.toml").write_text(example)
    code, said = run()
    assert code == 0, said
    assert "is the example's" in said
    assert (tmp_path / "outcomes.toml").read_text() == example
    code, said = run(keys="n\n")
    assert code == 0, said
    assert "asks for your figures" not in said, "it has just asked"
    assert (tmp_path / "outcomes.toml").read_text() == example
    code, said = run(keys="y\n" + "\n".join(ANSWERS.values()) + "\n")
    assert code == 0, said
    assert load_contract(tmp_path / "outcomes.toml").process.name == "Lost property at the ferry"
