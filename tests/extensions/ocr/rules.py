"""What is known of the route of the places of words."""

from tests.doubles.rules import Rule

RULES = {"GET /v1/documents/{document_id}/boxes": Rule(query="start=0&end=9", of_tenant=True)}
