"""The trials of cheaper models are no answers of their own, that nobody judged."""

from __future__ import annotations

from pathlib import Path

from extensions.feedback.store import Outcome
from extensions.value.outcome_contract import load_contract
from extensions.value.roi import value_report
from observability.stores import history
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer
from tests.doubles import answers
from tests.doubles.provider import calls, metered
from tests.extensions.cascade.test_cascade import ANA, QUESTION, ROOT, _opened


async def test_what_went_up_is_one_answer(tmp_path: Path) -> None:
    search = calls("search_documents", query="weight of a parcel")
    said = metered("A parcel may weigh at most 30 kilograms [1].", read=100, wrote=10)
    with _opened(tmp_path, search, said, compose="generative") as (system, _):
        given = await answer(system.agent, AnswerRequest(question=QUESTION), ANA)
        outcomes = [Outcome(given.answer_id, "accepted", answers.NOW)]
        worth = value_report(
            load_contract(ROOT / "outcomes.toml"), outcomes, history.answers(system.observability.costs)
        )
    assert given.went_up
    assert (worth.outcomes, worth.unknown) == (1, 0)
