"""Who may call the routes of feedback."""

from tests.doubles.rules import Rule

RULES = {
    "POST /v1/answers/{answer_id}/feedback": Rule(json={"verdict": "accepted"}, of_tenant=True),
    "GET /v1/feedback": Rule(paged=True),
}
