"""Who may call the routes of OpenAI's APIs."""

from tests.doubles.rules import Begun, Rule

CHAT = {"model": "sixply", "messages": [{"role": "user", "content": "When does it ship?"}]}
RESPONSE = {"model": "sixply", "input": "When does it ship?"}

RULES = {
    "POST /v1/chat/completions": Rule(json=CHAT, answers=True),
    "POST /v1/responses": Rule(json=RESPONSE, answers=True),
    "GET /v1/responses/{response_id}": Rule(of_tenant=True, of_person=True, no_id=400),
    "POST /v1/responses/{response_id}/cancel": Rule(of_tenant=True, of_person=True, no_id=400),
    "GET /v1/models": Rule(),
    "GET /v1/models/{model}": Rule(),
}
OURS = {"model": "sixply", "response_id": "resp_job_job-2"}
BEGUN = (Begun("POST /v1/responses", changes={"json": RESPONSE | {"background": True}}),)
