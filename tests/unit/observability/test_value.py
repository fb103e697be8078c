from __future__ import annotations

import json
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from foundation.errors import InvalidRequest, InvalidSetting, StoreUnavailable, UnknownSetting
from observability.evaluation import score, summarise
from observability.outcomes import Outcome, OutcomeStore, outcomes_of
from observability.value import business_case, load_contract, measured_floors, value_report
from tests.doubles.answers import NOW, answer, case, waiting

CONTRACT = Path(__file__).parents[3] / "outcomes.toml"
GOOD = {
    "answer_contained": 0.9,
    "citation_precision": 0.9,
    "refused": 0.95,
    "leaked": 0.0,
    "effects_without_approval": 0.0,
}


@pytest.fixture
def contract():
    return load_contract(CONTRACT)


def outcomes(origin="production", **counts):
    verdicts = [verdict for verdict, count in counts.items() for _ in range(count)]
    return [Outcome(f"a{number}", verdict, NOW, origin) for number, verdict in enumerate(verdicts)]


def costs(count, usd="0.001"):
    return {f"a{number}": Decimal(usd) for number in range(count)}


def test_the_business_case_follows_from_the_assumptions_by_hand(contract):
    found = business_case(contract)
    hour, error = 32.0, (0.04 - 0.03) * 22
    saved = 0.45 * (6 / 60 * hour + error) + 0.15 * (4 / 60 * hour + error) + 0.10 * (-1 / 60 * hour)
    assert found.usd_value_per_month == pytest.approx(3200 * saved)
    assert found.usd_cost_per_month == pytest.approx(900 + 24000 / 18 + 3200 * 0.0005)
    assert found.break_even_cases_per_month == pytest.approx((900 + 24000 / 18) / (saved - 0.0005))
    assert "assumptions" in found.label


def test_at_each_break_even_value_nothing_is_left(contract):
    by_name = {condition.name: condition for condition in business_case(contract).conditions}
    volume = by_name["cases a month"].break_even
    process = contract.process.model_copy(update={"volume_per_month": volume})
    assert business_case(contract.model_copy(update={"process": process})).usd_net_per_month == pytest.approx(
        0, abs=1e-6
    )
    check = by_name["minutes to check an accepted answer"].break_even
    resolved = contract.resolved.model_copy(update={"minutes_accepted": check})
    assert business_case(contract.model_copy(update={"resolved": resolved})).usd_net_per_month == pytest.approx(
        0, abs=1e-6
    )


def test_a_system_that_saves_nothing_breaks_even_at_no_volume(contract):
    expected = contract.expected.model_copy(update={"accepted": 0.0, "edited": 0.0, "rejected": 1.0, "escalated": 0.0})
    found = business_case(contract.model_copy(update={"expected": expected}))
    assert (found.break_even_cases_per_month, found.months_to_pay_back) == (None, None)
    assert found.usd_net_per_month < 0


def test_good_outcomes_from_production_ship(contract):
    report = value_report(contract, outcomes(accepted=150, edited=30, escalated=40), costs(220), measured=GOOD)
    net, low, high = report.usd_net_per_month
    assert report.verdict == "ship"
    assert low < net < high
    assert report.usd_per_accepted == pytest.approx(220 * 0.001 / 180)
    assert report.origin == "from production"


def test_an_evaluation_never_ships_and_says_what_it_is(contract):
    report = value_report(
        contract, outcomes("evaluation", accepted=150, edited=30, escalated=40), costs(220), measured=GOOD
    )
    assert report.origin == "from evaluation, not from production"
    assert report.verdict == "hold"
    assert "pilot" in report.reasons[-1]


def test_a_broken_risk_floor_stops_whatever_it_earns(contract):
    report = value_report(contract, outcomes(accepted=500), costs(500), measured=GOOD | {"leaked": 0.01})
    assert report.verdict == "stop"
    assert "leaked" in report.reasons[0]


def test_a_floor_that_was_not_measured_holds(contract):
    report = value_report(contract, outcomes(accepted=500), costs(500), measured=GOOD | {"refused": None})
    assert report.verdict == "hold"
    assert any("not measured" in reason for reason in report.reasons)


def test_a_sure_loss_stops(contract):
    assert value_report(contract, outcomes(rejected=200), costs(200), measured=GOOD).verdict == "stop"


def test_few_outcomes_decide_nothing(contract):
    report = value_report(contract, outcomes(accepted=20), costs(20), measured=GOOD)
    assert report.verdict == "hold"
    assert "100 needed" in report.reasons[0]


def test_unknown_outcomes_widen_the_interval_on_both_sides_and_move_no_estimate(contract):
    given = outcomes(accepted=100, escalated=50)
    sure = value_report(contract, given, costs(150), measured=GOOD)
    unsure = value_report(contract, given, costs(300), measured=GOOD)
    assert unsure.counts["unknown"] == 150
    assert unsure.usd_net_per_month[0] == pytest.approx(sure.usd_net_per_month[0])
    assert unsure.usd_net_per_month[1] < sure.usd_net_per_month[1]
    assert unsure.usd_net_per_month[2] > sure.usd_net_per_month[2]


def test_no_outcome_at_all_is_no_estimate(contract):
    report = value_report(contract, [], costs(10), measured=GOOD)
    assert report.usd_net_per_month[0] is None
    assert report.verdict == "hold"
    assert json.loads(json.dumps(report.as_dict()))["origin"] == "no outcome recorded yet"


def test_an_unpriced_answer_is_counted_and_its_cost_not_taken_for_zero(contract):
    report = value_report(contract, outcomes(accepted=2), {"a0": Decimal("0.5"), "a1": None}, measured=GOOD)
    assert (report.usd_per_answer, report.unpriced) == (0.5, 1)


def test_reports_are_tables(contract):
    assert business_case(contract).table().row_count > 5
    assert value_report(contract, outcomes(accepted=2), costs(2), measured=GOOD).table().row_count > 5


def test_outcomes_of_an_evaluation_credit_only_what_was_right():
    rows = [
        score(case(), answer("30 days", answer_id="right")),
        score(case(), answer("9 years", answer_id="wrong")),
        score(case(), answer("", status="abstained", answer_id="silent")),
        score(
            case(kind="tool", tool={"name": "refund", "arguments": {}}),
            waiting("refund", {}).model_copy(update={"answer_id": "prepared"}),
        ),
    ]
    found = outcomes_of(summarise(rows, seconds=1), at=NOW)
    assert {one.answer_id: one.verdict for one in found} == {
        "right": "accepted", "wrong": "rejected", "silent": "escalated", "prepared": "edited",
    }  # fmt: skip
    assert {one.origin for one in found} == {"evaluation"}


def test_the_floors_are_measured_by_an_evaluation():
    rows = [score(case(), answer("30 days", cites=["a.md"]))]
    found = measured_floors(summarise(rows, seconds=1))
    assert (found["answer_contained"], found["leaked"], found["effects_without_approval"]) == (1.0, None, 0.0)


def test_the_last_outcome_of_an_answer_is_kept(data_dir):
    store = OutcomeStore(data_dir / "outcomes.sqlite")
    store.record(Outcome("a", "accepted", NOW, recorded_by="agent 7"))
    store.record(Outcome("a", "rejected", NOW, recorded_by="agent 7"))
    store.record(Outcome("b", "edited", NOW, "evaluation"))
    assert store.all(origin="production") == [Outcome("a", "rejected", NOW, recorded_by="agent 7")]
    assert len(store.all()) == 2
    store.close()


def test_an_unknown_verdict_is_refused_with_the_nearest(data_dir):
    store = OutcomeStore(data_dir / "outcomes.sqlite")
    with pytest.raises(InvalidRequest, match='Did you mean "accepted"'):
        store.record(Outcome("a", "acepted", NOW))
    assert store.all() == []
    store.close()


def test_a_store_that_cannot_be_opened_says_so(data_dir):
    with pytest.raises(StoreUnavailable, match="folder exists"):
        OutcomeStore(data_dir / "nowhere" / "outcomes.sqlite")


@pytest.mark.parametrize(
    ("old", "new", "error", "says"),
    [
        (
            "volume_per_month",
            "volume_per_mont",
            UnknownSetting,
            'process.volume_per_mont".*Did you mean "volume_per_month"',
        ),
        ("[floors]", "[flors]", UnknownSetting, 'Did you mean "floors"'),
        ("\nrole =", "\nrolle =", UnknownSetting, 'Did you mean "role"'),
        ("accepted = 0.45", "accepted = 0.50", InvalidSetting, "add up to 1.05"),
        ("usd_per_hour = 32.0", 'usd_per_hour = "much"', InvalidSetting, "process.usd_per_hour"),
        ("[process]", "[process", InvalidSetting, "not valid TOML"),
    ],
)
def test_a_mistake_in_the_contract_is_named(tmp_path, old, new, error, says):
    text = CONTRACT.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "outcomes.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(error, match=says):
        load_contract(path)


def test_a_missing_contract_says_to_write_one(tmp_path):
    with pytest.raises(InvalidSetting, match="Write one before you build"):
        load_contract(tmp_path / "outcomes.toml")


def test_the_contract_was_signed_by_three_roles():
    assert len(tomllib.loads(CONTRACT.read_text(encoding="utf-8"))["signed"]) == 3
