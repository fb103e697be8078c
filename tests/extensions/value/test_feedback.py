"""What people say of answers is in the value report."""

from pathlib import Path

import httpx2

from extensions.value.outcome_contract import load_contract
from extensions.value.roi import value_report
from observability.stores import history
from tests.doubles.serving import World, charge
from tests.extensions.feedback.test_routes import api, given, say, store_of  # noqa: F401 - fixtures


async def test_the_value_report_counts_what_was_said(given: World, api: httpx2.AsyncClient) -> None:  # noqa: F811
    given.system.observability.costs.record(charge(answer_id="a-2"))
    await say(api, given.reader, verdict="edited", edit="Shorter.", minutes=3)
    contract = load_contract(Path("outcomes.toml"))
    system = given.system
    report = value_report(contract, store_of(given).all(), history.answers(system.observability.costs))
    assert (report.counts["edited"], report.counts["unknown"]) == (1, 1)
