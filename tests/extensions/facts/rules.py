"""Who may call the routes of the facts."""

from tests.doubles.rules import Begun, Rule

RULES = {
    "GET /v1/facts": Rule(paged=True),
    "POST /v1/facts": Rule(json={"text": "Our printers are all QL-20W."}),
    "PUT /v1/facts/{fact_id}": Rule(json={"text": "They are QL-40."}, of_tenant=True, of_person=True),
    "DELETE /v1/facts/{fact_id}": Rule(of_tenant=True, of_person=True),
}
OURS = {"fact_id": "fact-1"}
BEGUN = (Begun("POST /v1/facts"),)
