"""Who may call the routes of the kill switches."""

from tests.doubles.rules import OPERATORS, Rule

RULES = {
    "GET /v1/stops": Rule(OPERATORS, queued=False),
    "PUT /v1/stops/{what}": Rule(OPERATORS, json={"reason": "We are looking."}, queued=False),
    "DELETE /v1/stops/{what}": Rule(OPERATORS, queued=False),
}
OURS = {"what": "effects"}
