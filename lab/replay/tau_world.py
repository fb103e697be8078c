"""The airline's tools, over one copy of its database. They do what they are asked, as far as it is possible; what is
permitted is the policy's business (`tau_rules`).

Results and errors are those that the published conversations show, word for word: `make replay` compares them.
"""

from __future__ import annotations

import ast
import json
import operator
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from orchestration.actions import ToolMetadata

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
ACTS = (
    "book_reservation",
    "cancel_reservation",
    "send_certificate",
    "update_reservation_baggages",
    "update_reservation_flights",
    "update_reservation_passengers",
)
DESCRIBED: Mapping[str, ToolMetadata] = {
    # whether a journey is a return one stands in its flights; what costs money must be the person's own
    "book_reservation": {
        "arguments": {"flight_type": "choice", "total_baggages": "amount", "nonfree_baggages": "amount"}
    },
    "update_reservation_baggages": {"arguments": {"total_baggages": "amount", "nonfree_baggages": "amount"}},
    # costs nothing, and the next call changes it back
    "update_reservation_passengers": {"reach": "own"},
    "send_certificate": {"arguments": {"amount": "amount"}},
}
"""What the writing tools may do and what their arguments are; of others the cautious defaults hold."""
_SUMS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
BAG, INSURANCE = 50, 30
NUMBERS = ("HATHAT", "HATHAU", "HATHAV")
"""Of new reservations, in this order."""
CERTIFICATES = ("certificate_3221322", "certificate_3221323", "certificate_3221324")
CITIES = {
    "SFO": "San Francisco",
    "JFK": "New York",
    "LAX": "Los Angeles",
    "ORD": "Chicago",
    "DFW": "Dallas",
    "DEN": "Denver",
    "SEA": "Seattle",
    "ATL": "Atlanta",
    "MIA": "Miami",
    "BOS": "Boston",
    "PHX": "Phoenix",
    "IAH": "Houston",
    "LAS": "Las Vegas",
    "MCO": "Orlando",
    "EWR": "Newark",
    "CLT": "Charlotte",
    "MSP": "Minneapolis",
    "DTW": "Detroit",
    "PHL": "Philadelphia",
    "LGA": "LaGuardia",
}
FLOWN = ("landed", "flying")


class Airline:
    """`names_new_cabin`: whether a reservation names the cabin that its flights were changed to. In the first version of the
    benchmark, which the published conversations had, it goes on naming the one that was booked.
    """

    def __init__(
        self, flights: Row, reservations: Row, users: Row, *, now: datetime, names_new_cabin: bool = True
    ) -> None:
        self.flights, self.reservations, self.users = flights, reservations, users
        self.now = now
        self._names_new_cabin = names_new_cabin

    def dump(self) -> str:
        return json.dumps([self.flights, self.reservations, self.users], sort_keys=True)

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
        flights = [_find(self.flights, leg["flight_number"], f"flight {leg['flight_number']}") for leg in legs]
        if any(one["destination"] != other["origin"] for one, other in pairwise(flights)):
            return []
        return [*(flight["origin"] for flight in flights), flights[-1]["destination"]] if flights else []

    # -- tools that read -----------------------------------------------------------------------------------------------

    def get_user_details(self, user_id: str) -> Row:
        return _find(self.users, user_id, "user")

    def get_reservation_details(self, reservation_id: str) -> Row:
        return _find(self.reservations, reservation_id, "reservation")

    def list_all_airports(self) -> dict[str, str]:
        served = {flight["origin"] for flight in self.flights.values()}
        return {code: city for code, city in CITIES.items() if code in served}

    def search_direct_flight(self, origin: str, destination: str, date: str) -> list[Row]:
        return [
            self._on_day(flight, date)
            for flight in self.flights.values()
            if (flight["origin"], flight["destination"]) == (origin, destination) and _is_open(flight, date)
        ]

    def search_onestop_flight(self, origin: str, destination: str, date: str) -> list[list[Row]]:
        """Pairs of flights; the second one goes on the day after where the first one arrives then."""
        pairs = []
        for first in self._leaving(origin):
            for second in self._leaving(first["destination"]):
                arrival, departure = first["scheduled_arrival_time_est"], second["scheduled_departure_time_est"]
                day = _next_day(date) if "+1" in arrival else date
                fits = second["destination"] == destination and arrival <= departure
                if fits and _is_open(first, date) and _is_open(second, day):
                    # the benchmark shows the second flight's seats and prices of the first day
                    pairs.append(
                        [self._on_day(first, date) | {"date": date}, self._on_day(second, date) | {"date": day}]
                    )
        return pairs

    def calculate(self, expression: str) -> str:
        def value(node: ast.expr) -> float:
            if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
                return node.value
            if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
                return -value(node.operand)
            if isinstance(node, ast.BinOp) and type(node.op) in _SUMS:
                return float(_SUMS[type(node.op)](value(node.left), value(node.right)))
            raise _impossible(f"this is no sum: {expression}")

        try:
            return str(round(float(value(ast.parse(expression.strip(), mode="eval").body)), 2))
        except (SyntaxError, ZeroDivisionError, RecursionError) as error:
            raise _impossible(f"this is no sum: {expression}") from error

    def think(self, thought: str) -> str:
        del thought
        return ""

    def _leaving(self, airport: str) -> list[Row]:
        return [flight for flight in self.flights.values() if flight["origin"] == airport]

    def _on_day(self, flight: Row, date: str) -> Row:
        return {**{key: value for key, value in flight.items() if key != "dates"}, **flight["dates"][date]}

    # -- tools that act ------------------------------------------------------------------------------------------------

    def transfer_to_human_agents(self, summary: str) -> str:
        del summary
        return "Transfer successful"

    def book_reservation(
        self,
        *,
        user_id: str,
        flights: Sequence[Row],
        passengers: Sequence[Row],
        payment_methods: Sequence[Row],
        **booked: Any,
    ) -> Row:
        user = self.get_user_details(user_id)
        number = next(number for number in NUMBERS if number not in self.reservations)
        legs = [self._priced(leg, booked["cabin"], len(passengers)) for leg in flights]
        due = sum(leg["price"] for leg in legs) * len(passengers) + BAG * booked["nonfree_baggages"]
        due += INSURANCE * len(passengers) * (booked["insurance"] == "yes")
        for payment in payment_methods:
            method = _find(user["payment_methods"], payment["payment_id"], f"payment method {payment['payment_id']}")
            if method.get("amount", payment["amount"]) < payment["amount"]:
                raise _impossible(f"not enough balance in payment method {payment['payment_id']}")
        if (paid := sum(payment["amount"] for payment in payment_methods)) != due:
            raise _impossible(f"payment amount does not add up, total price is {due}, but paid {paid}")
        for payment in payment_methods:
            method = user["payment_methods"][payment["payment_id"]]
            if method["source"] == "certificate":  # whatever is left of it is lost
                del user["payment_methods"][payment["payment_id"]]
            elif method["source"] == "gift_card":
                method["amount"] -= payment["amount"]
        self.reservations[number] = {
            "reservation_id": number,
            "user_id": user_id,
            **{name: booked[name] for name in ("origin", "destination", "flight_type", "cabin")},
            "flights": legs,
            "passengers": list(passengers),
            "payment_history": list(payment_methods),
            "created_at": self.now.isoformat(),
            **{name: booked[name] for name in ("total_baggages", "nonfree_baggages", "insurance")},
        }
        user["reservations"].append(number)
        booking: Row = self.reservations[number]
        return booking

    def cancel_reservation(self, reservation_id: str) -> Row:
        reservation = self.get_reservation_details(reservation_id)
        paid = reservation["payment_history"]
        paid += [{"payment_id": payment["payment_id"], "amount": -payment["amount"]} for payment in paid]
        reservation["status"] = "cancelled"
        return reservation

    def update_reservation_flights(
        self, reservation_id: str, cabin: str, flights: Sequence[Row], payment_id: str
    ) -> Row:
        reservation = self.get_reservation_details(reservation_id)
        kept = {(leg["flight_number"], leg["date"]): leg for leg in reservation["flights"]}
        same = kept if cabin == reservation["cabin"] else {}
        people = len(reservation["passengers"])
        legs = [
            dict(leg) | {name: old[name] for name in ("price", "origin", "destination")}
            if (old := same.get((leg["flight_number"], leg["date"])))
            else self._priced(leg, cabin, people)
            for leg in flights
        ]
        more = sum(leg["price"] for leg in legs) - sum(leg["price"] for leg in reservation["flights"])
        self._charge(reservation, payment_id, more * people)
        reservation["flights"] = legs
        if self._names_new_cabin:
            reservation["cabin"] = cabin
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
        if len(passengers) != len(reservation["passengers"]):
            raise _impossible("number of passengers does not match")
        reservation["passengers"] = list(passengers)
        return reservation

    def send_certificate(self, user_id: str, amount: float) -> str:
        methods = self.get_user_details(user_id)["payment_methods"]
        key = next(key for key in CERTIFICATES if key not in methods)
        methods[key] = {"source": "certificate", "amount": amount, "id": key}
        return f"Certificate {key} added to user {user_id} with amount {amount}."

    def _charge(self, reservation: Row, payment_id: str, amount: float) -> None:
        method = _find(self.users[reservation["user_id"]]["payment_methods"], payment_id, "payment method")
        if method["source"] == "certificate":
            raise _impossible("certificate cannot be used to update reservation")
        if method["source"] == "gift_card":
            if method["amount"] < amount:
                raise _impossible("gift card balance is not enough")
            method["amount"] -= amount
        if amount:
            reservation["payment_history"].append({"payment_id": payment_id, "amount": amount})

    def _priced(self, leg: Mapping[str, Any], cabin: str, people: int) -> Row:
        number, date = leg["flight_number"], leg["date"]
        flight = _find(self.flights, number, f"flight {number}")
        day = _find(flight["dates"], date, f"flight {number}", f" on date {date}")
        if day["status"] != "available":
            raise _impossible(f"flight {number} not available on date {date}")
        if day["available_seats"][cabin] < people:
            raise _impossible(f"not enough seats on flight {number}")
        return dict(leg) | {
            "price": day["prices"][cabin],
            "origin": flight["origin"],
            "destination": flight["destination"],
        }

    def _day(self, leg: Mapping[str, Any]) -> Row:
        flight = _find(self.flights, leg["flight_number"], f"flight {leg['flight_number']}")
        return dict(flight["dates"].get(leg["date"], {}))


def result_text(result: Any) -> str:
    """What the model is shown of a tool's result."""
    return result if isinstance(result, str) else json.dumps(result)


def _find(table: Row, key: str, what: str, where: str = "") -> Row:
    if key not in table:
        raise _impossible(f"{what} not found{where}")
    row: Row = table[key]
    return row


def _is_open(flight: Row, date: str) -> bool:
    return bool(flight["dates"].get(date, {}).get("status") == "available")


def _next_day(date: str) -> str:
    return (datetime.fromisoformat(date) + timedelta(days=1)).date().isoformat()


def _impossible(why: str) -> Exception:
    from langchain_core.tools import ToolException

    return ToolException(f"Error: {why}")
