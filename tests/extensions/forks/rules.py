"""What is known of the route of forks."""

from tests.doubles.rules import Rule

RULES = {"POST /v1/conversations/{thread_id}/fork": Rule(json={}, of_tenant=True, of_person=True)}
