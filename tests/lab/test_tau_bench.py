"""An airline that is made up: three flights, five reservations, four customers and a policy in other words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import InvalidRequest
from foundation.types import Scope
from lab.replay.tau_bench import bench_tau
from lab.replay.tau_rules import RULES
from retrieval.documents import Hit
from tests.doubles.answers import WordSearch

POLICY = """# Rules of Puffin Air
The current time is 2030-06-10 12:00:00 GMT.

## Booking
Passengers:
- There are at most five passengers on one reservation.
Payment:
- We take at most one travel certificate, one credit card and three gift cards.
- A payment method must already be in user profile.
- Each extra bag is 50 dollars.
- With any other status than open, so late or in the air, a flight cannot be booked.

## Changing
- The flights of basic economy cannot be modified, ever.
- Flights may change without changing the origin, the destination and the kind of trip.
- The cabin stays as it is once a flight was flown.
- You cannot modify the number of passengers.
- You may add but not remove checked bags.
- If the flights are changed, one gift card or credit card pays.

## Cancelling
When a portion was flown, the agent cannot help.
Otherwise a reservation can be cancelled if any of these is so:
- It is a day old.
- It is in business.

## Gestures
- Do not compensate a regular member who has no insurance.
- There is compensation for nothing else and for any other reason there is none.
- The amount is 100 or 50 times the number of passengers.
"""
OPEN = {"status": "available", "available_seats": {"basic_economy": 4, "economy": 4, "business": 4}}
PRICES = {"prices": {"basic_economy": 50, "economy": 100, "business": 300}}
PEOPLE = [{"first_name": "Ada", "last_name": "Auk", "dob": "1990-01-01"}, {"first_name": "Bo", "last_name": "Auk"}]


def flight(origin: str, destination: str) -> dict[str, Any]:
    days = {f"2030-06-{day}": OPEN | PRICES for day in (11, 12, 13)}
    past = {"2030-06-09": {"status": "landed"}, "2030-06-10": {"status": "flying"}, "2030-06-14": {"status": "delayed"}}
    times = {"scheduled_departure_time_est": "08:00:00", "scheduled_arrival_time_est": "09:00:00"}
    return {"origin": origin, "destination": destination, "dates": {**past, **days}, **times}


def reservation(user: str, cabin: str, day: str, **more: Any) -> dict[str, Any]:
    leg = {"flight_number": "PU1", "date": day, "origin": "REK", "destination": "TOR", "price": 100}
    return {
        "user_id": user,
        "origin": "REK",
        "destination": "TOR",
        "flight_type": "one_way",
        "cabin": cabin,
        "flights": [leg],
        "passengers": PEOPLE,
        "payment_history": [{"payment_id": f"card_{user}", "amount": 200}],
        "created_at": "2030-06-01T08:00:00",
        "total_baggages": 1,
        "nonfree_baggages": 0,
        "insurance": "no",
        **more,
    }


def user(name: str, membership: str, *reservations: str) -> dict[str, Any]:
    methods = {f"card_{name}": "credit_card", f"one_{name}": "certificate", f"two_{name}": "certificate"}
    amounts = {"certificate": {"amount": 150}}
    return {
        "membership": membership,
        "reservations": list(reservations),
        "payment_methods": {key: {"id": key, "source": kind, **amounts.get(kind, {})} for key, kind in methods.items()},
    }


BOOKING = {
    "user_id": "ada",
    "origin": "REK",
    "destination": "TOR",
    "flight_type": "one_way",
    "cabin": "economy",
    "flights": [{"flight_number": "PU1", "date": "2030-06-11"}],
    "passengers": PEOPLE[:1],
    "payment_methods": [{"payment_id": "one_ada", "amount": 60}, {"payment_id": "card_ada", "amount": 40}],
    "total_baggages": 1,
    "nonfree_baggages": 0,
    "insurance": "no",
}
CHANGE = {
    "reservation_id": "BIZ",
    "cabin": "business",
    "flights": [{"flight_number": "PU1", "date": "2030-06-12"}],
    "payment_id": "card_ada",
}
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("get_user_details", {"user_id": "ada"}),
    ("calculate", {"expression": "2 * (3 + 4)"}),
    ("search_direct_flight", {"origin": "REK", "destination": "TOR", "date": "2030-06-11"}),
    ("book_reservation", BOOKING),
    ("update_reservation_flights", CHANGE),
    (
        "update_reservation_baggages",
        {"reservation_id": "BIZ", "total_baggages": 2, "nonfree_baggages": 0, "payment_id": "card_ada"},
    ),
    ("update_reservation_passengers", {"reservation_id": "BIZ", "passengers": PEOPLE}),
    ("cancel_reservation", {"reservation_id": "BIZ"}),
    ("transfer_to_human_agents", {"summary": "wants a puffin"}),
]


@pytest.fixture
def airline(tmp_path: Path) -> Path:
    flights = {"PU1": flight("REK", "TOR"), "PU2": flight("REK", "OSL"), "PU3": flight("TOR", "OSL")}
    reservations = {
        "BIZ": reservation("ada", "business", "2030-06-11"),
        "OLD": reservation("bo", "economy", "2030-06-09"),
        "ECO": reservation("bo", "economy", "2030-06-11"),
        "LOW": reservation("cy", "basic_economy", "2030-06-11"),
        "LATE": reservation("dot", "economy", "2030-06-14"),
    }
    users = {
        "ada": user("ada", "gold", "BIZ"),
        "bo": user("bo", "regular", "OLD", "ECO"),
        "cy": user("cy", "silver", "LOW"),
        "dot": user("dot", "gold", "LATE"),
    }
    for name, table in (("flights", flights), ("reservations", reservations), ("users", users)):
        (tmp_path / f"db_{name}.json").write_text(json.dumps(table), encoding="utf-8")
    others = {"send_certificate": ("user_id", "amount"), "get_reservation_details": ("reservation_id",)}
    schemas = [
        {
            "function": {
                "name": name,
                "description": name,
                "parameters": {"type": "object", "properties": {key: {} for key in taken}},
            }
        }
        for name, taken in {**dict(CALLS), **others}.items()
    ]
    (tmp_path / "tools.json").write_text(json.dumps(schemas), encoding="utf-8")
    (tmp_path / "policy.md").write_text(POLICY, encoding="utf-8")
    write_tasks(tmp_path, CALLS)
    return tmp_path


def write_tasks(folder: Path, calls: list[tuple[str, dict[str, Any]]]) -> None:
    plea = [("get_reservation_details", {"reservation_id": key}) for key in ("OLD", "BIZ")]
    tasks = [("t1", calls, "Please help"), ("t2", plea if calls is CALLS else [], "Please cancel it")]
    lines = [
        json.dumps(
            {
                "id": key,
                "user_instructions": {"reason": words},
                "expected_actions": [{"name": name, "arguments": given} for name, given in made],
            }
        )
        for key, made, words in tasks
    ]
    (folder / "tasks.jsonl").write_text("\n".join(lines), encoding="utf-8")


def measured(folder: Path, tmp_path_factory: pytest.TempPathFactory, search: WordSearch | None = None) -> Any:
    search = search or WordSearch()
    return bench_tau(folder, tmp_path_factory.mktemp("stores"), ingestor=search, retriever=search)


def test_what_is_expected_passes_and_each_rule_denies_what_breaks_it(
    airline: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    found = measured(airline, tmp_path_factory)
    assert found["not_passed"] == []
    assert (found["tasks"], found["actions"], found["effects"]) == (2, 11, 6)
    assert found["asked_share"] == 5 / 11, "each change, and no more"
    assert found["rules_not_in_policy"] == []
    for rule, counts in found["rules"].items():
        assert counts["forbidden"] == counts["denied"] > 0, rule
    assert found["denied_share"] == 1
    assert (found["pleas"], found["pleas_denied_share"]) == (2, 0.5), "what was flown is not cancelled, business may be"


def test_an_expected_call_that_breaks_a_rule_does_not_pass(
    airline: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    write_tasks(airline, [("cancel_reservation", {"reservation_id": "OLD"})])
    found = measured(airline, tmp_path_factory)
    assert (found["actions"], found["passed_share"]) == (1, 0)
    assert "the agent cannot help" in found["not_passed"][0]


def test_a_rule_that_the_policy_does_not_state_is_not_applied(
    airline: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (airline / "policy.md").write_text(POLICY.replace("When a portion was flown, the agent cannot help.", ""))
    write_tasks(airline, [("cancel_reservation", {"reservation_id": "OLD"})])
    found = measured(airline, tmp_path_factory)
    assert found["rules_not_in_policy"] == ["no cancelling after take-off"]
    assert "can be cancelled if any" in found["not_passed"][0], "the next rule is what forbids it now"
    assert "It is in business." in found["not_passed"][0], "quoted with its list"


class AlwaysTheFirst(WordSearch):
    """A double of a retriever that finds the wrong line."""

    def retrieve(self, query: str, scope: Scope, *, limit: int | None = None, **_: Any) -> list[Hit]:
        del query, limit
        return self._hits(next(iter(self.texts)), scope)


def test_a_denial_with_the_wrong_line_is_a_denial_without_a_citation(
    airline: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    found = measured(airline, tmp_path_factory, AlwaysTheFirst())
    assert (found["denied_share"], found["cited_share"]) == (1, 0)


def test_each_rule_has_a_name_of_its_own() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize(("file", "told"), [("policy.md", "current time"), ("tasks.jsonl", "no tasks.jsonl")])
def test_a_folder_that_is_none_is_refused(
    airline: Path, tmp_path_factory: pytest.TempPathFactory, file: str, told: str
) -> None:
    (airline / file).unlink()
    if file == "policy.md":
        (airline / file).write_text("# Rules\nNo time.\n", encoding="utf-8")
    with pytest.raises(InvalidRequest, match=told):
        measured(airline, tmp_path_factory)
