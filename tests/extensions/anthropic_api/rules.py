"""Who may call the route of Anthropic's API."""

from tests.doubles.rules import Rule

RULES = {
    "POST /v1/messages": Rule(
        json={"model": "sixply", "messages": [{"role": "user", "content": "When does it ship?"}]}, answers=True
    )
}
