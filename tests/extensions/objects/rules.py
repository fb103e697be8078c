"""Who may call the route of objects."""

from tests.doubles.rules import ASK, Rule

OBJECT = {**ASK, "schema": {"type": "object", "properties": {"day": {"type": "string"}}}}
RULES = {"POST /v1/objects": Rule(json=OBJECT)}
