"""The airline's tools, over one copy of its database. They do what they are asked, as far as it is possible; what is
permitted is the policy's business (`tau_rules`)."""

from __future__ import annotations

import ast
import json
import operator
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

Row = dict[str, Any]
READS = (
    "calculate",
    "get_reservation_details",
    "get_user_details",
    "list_all_airports",
    "search_direct_flight",
    "search_onestop_flight",
    "think",
)
_SUMS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
BAG, INSURANCE = 50, 30
FLOWN = ("landed", "flying")


class Airline:
    def __init__(self, flights: Row, reservations: Row, users: Row, *, now: datetime) -> None:
        self.flights, self.reservations, self.users = flights, reservations, users
        self.now = now

    def dump(self) -> str:
        return json.dumps([self.reservations, self.users])

    # -- what rules ask ------------------------------------------------------------------------------------------------

    def status(self, leg: Mapping[str, Any]) -> str:
        return str(self._day(leg).get("status", ""))

    def flown(self, reservation: Row) -> bool:
        return any(self.status(leg) in FLOWN for leg in reservation["flights"])

    def owner(self, arguments: Mapping[str, Any]) -> Row:
        """The user whom a call is about."""
        return self.get_user_details(
            arguments.get("user_id") or self.get_reservation_details(arguments["reservation_id"])["user_id"]
        )

    def theirs(self, user: Row) -> Iterator[Row]:
        return (self.reservations[key] for key in user["reservations"] if key in self.reservations)

    def route(self, legs: Sequence[Mapping[str, Any]]) -> list[str]:
        """The airports on the way; empty where a flight does not begin where the last one ended."""
        flights = [_row(self.flights, leg["flight_number"]) for leg in legs]
        if any(one["destination"] != other["origin"] for one, other in pairwise(flights)):
            return []
        return [*(flight["origin"] for flight in flights), flights[-1]["destination"]] if flights else []

    # -- tools that read -----------------------------------------------------------------------------------------------

    def get_user_details(self, user_id: str) -> Row:
        return _row(self.users, user_id)

    def get_reservation_details(self, reservation_id: str) -> Row:
        return _row(self.reservations, reservation_id)

    def list_all_airports(self) -> list[str]:
        return sorted({flight["origin"] for flight in self.flights.values()})

    def search_direct_flight(self, origin: str, destination: str, date: str) -> list[Row]:
        return [
            {"flight_number": number, "origin": origin, "destination": destination, "date": date, **day}
            for number, flight in self.flights.items()
            if (flight["origin"], flight["destination"]) == (origin, destination)
            and (day := flight["dates"].get(date, {})).get("status") == "available"
        ]

    def search_onestop_flight(self, origin: str, destination: str, date: str) -> list[list[Row]]:
        return [
            [first, second]
            for stop in self.list_all_airports()
            for first in self.search_direct_flight(origin, stop, date)
            for second in self.search_direct_flight(stop, destination, date)
            if self.flights[first["flight_number"]]["scheduled_arrival_time_est"]
            < self.flights[second["flight_number"]]["scheduled_departure_time_est"]
        ]

    def calculate(self, expression: str) -> float:
        def value(node: ast.expr) -> float:
            if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
                return node.value
            if isinstance(node, ast.BinOp) and type(node.op) in _SUMS:
                return float(_SUMS[type(node.op)](value(node.left), value(node.right)))
            raise _impossible(f"This is no sum: {expression}")

        try:
            return round(value(ast.parse(expression.strip(), mode="eval").body), 2)
        except (SyntaxError, ZeroDivisionError, RecursionError) as error:
            raise _impossible(f"This is no sum: {expression}") from error

    def think(self, thought: str) -> str:
        del thought
        return ""

    # -- tools that act ------------------------------------------------------------------------------------------------

    def transfer_to_human_agents(self, summary: str) -> str:
        del summary
        return "transferred"

    def book_reservation(
        self,
        *,
        flights: Sequence[Row],
        passengers: Sequence[Row],
        payment_methods: Sequence[Row],
        **booked: Any,
    ) -> Row:
        user = self.get_user_details(booked["user_id"])
        legs = [self._priced(leg, booked["cabin"]) for leg in flights]
        due = sum(leg["price"] for leg in legs) * len(passengers) + BAG * booked["nonfree_baggages"]
        due += INSURANCE * len(passengers) * (booked["insurance"] == "yes")
        if (paid := sum(one["amount"] for one in payment_methods)) != due:
            raise _impossible(f"The price is {due}, and the payments come to {paid}.")
        for one in payment_methods:
            _pay(user, one["payment_id"], one["amount"])
        reservation = {
            **booked,
            "reservation_id": f"NEW{len(self.reservations):03}",
            "flights": legs,
            "passengers": list(passengers),
            "payment_history": list(payment_methods),
            "created_at": self.now.isoformat(),
        }
        self.reservations[reservation["reservation_id"]] = reservation
        user["reservations"].append(reservation["reservation_id"])
        return reservation

    def cancel_reservation(self, reservation_id: str) -> Row:
        reservation = self.get_reservation_details(reservation_id)
        reservation["payment_history"] += [{**one, "amount": -one["amount"]} for one in reservation["payment_history"]]
        reservation["status"] = "cancelled"
        return reservation

    def update_reservation_flights(
        self, reservation_id: str, cabin: str, flights: Sequence[Row], payment_id: str
    ) -> Row:
        reservation = self.get_reservation_details(reservation_id)
        kept = {(leg["flight_number"], leg["date"]): leg for leg in reservation["flights"]}
        same = kept if cabin == reservation["cabin"] else {}
        legs = [same.get((leg["flight_number"], leg["date"])) or self._priced(leg, cabin) for leg in flights]
        more = sum(leg["price"] for leg in legs) - sum(leg["price"] for leg in reservation["flights"])
        self._charge(reservation, payment_id, more * len(reservation["passengers"]))
        reservation |= {"cabin": cabin, "flights": legs}
        return reservation

    def update_reservation_baggages(
        self, reservation_id: str, total_baggages: int, nonfree_baggages: int, payment_id: str
    ) -> Row:
        reservation = self.get_reservation_details(reservation_id)
        more = max(0, nonfree_baggages - reservation["nonfree_baggages"])
        self._charge(reservation, payment_id, BAG * more)
        reservation |= {"total_baggages": total_baggages, "nonfree_baggages": nonfree_baggages}
        return reservation

    def update_reservation_passengers(self, reservation_id: str, passengers: Sequence[Row]) -> Row:
        reservation = self.get_reservation_details(reservation_id)
        reservation["passengers"] = list(passengers)
        return reservation

    def send_certificate(self, user_id: str, amount: float) -> str:
        methods = self.get_user_details(user_id)["payment_methods"]
        key = f"certificate_{len(methods)}"
        methods[key] = {"source": "certificate", "amount": amount, "id": key}
        return f"{key} over {amount}"

    def _charge(self, reservation: Row, payment_id: str, amount: float) -> None:
        _pay(self.users[reservation["user_id"]], payment_id, amount)
        if amount:
            reservation["payment_history"].append({"payment_id": payment_id, "amount": amount})

    def _priced(self, leg: Mapping[str, Any], cabin: str) -> Row:
        day = self._day(leg)
        if not day.get("available_seats", {}).get(cabin):
            raise _impossible(f"{leg['flight_number']} on {leg['date']} has no seat in {cabin}.")
        flight = self.flights[leg["flight_number"]]
        return {
            "flight_number": leg["flight_number"],
            "date": leg["date"],
            "origin": flight["origin"],
            "destination": flight["destination"],
            "price": day["prices"][cabin],
        }

    def _day(self, leg: Mapping[str, Any]) -> Row:
        return dict(_row(self.flights, leg["flight_number"])["dates"].get(leg["date"], {}))


def _row(table: Row, key: str) -> Row:
    if key not in table:
        raise _impossible(f"There is no {key}.")
    found: Row = table[key]
    return found


def _pay(user: Row, payment_id: str, amount: float) -> None:
    method = _row(user["payment_methods"], payment_id)
    if "amount" in method:  # a card has no balance here
        if method["amount"] < amount:
            raise _impossible(f"{payment_id} holds {method['amount']}, and {amount} is due.")
        method["amount"] -= amount


def _impossible(why: str) -> Exception:
    from langchain_core.tools import ToolException

    return ToolException(why)
