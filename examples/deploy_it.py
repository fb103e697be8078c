"""How does the loop become a service that another program calls?

The system is served over HTTP with an API key. The key determines the caller and the tenant, the body never does. Two
clients call it: one with plain JSON, one with OpenAI's own client, which needs only another address.
"""

import httpx2
import openai

from examples.small_system import VISITOR, small_system
from serving.access.identity import KeyStore
from serving.server import running

QUESTION = "What does a bicycle cost?"


def call_with_json(base_url: str, key: str) -> None:
    with httpx2.Client(base_url=base_url, timeout=60, trust_env=False) as http:
        nobody = http.post("/v1/answers", json={"question": QUESTION})
        print(f"without a key    {nobody.status_code}: {nobody.json()['detail']}")
        bearer = {"Authorization": f"Bearer {key}"}
        answer = http.post("/v1/answers", json={"question": QUESTION}, headers=bearer).json()
        print(f"plain JSON       {answer['status']}: {answer['text']}")
        print(f"                 citations: {[citation['uri'] for citation in answer['citations']]}")
        blank = http.post("/v1/answers", json={"question": " "}, headers=bearer)
        print(f"a blank question {blank.status_code}: {blank.json()['detail']}")


def call_with_openai(base_url: str, key: str) -> None:
    with openai.OpenAI(base_url=f"{base_url}/v1", api_key=key, max_retries=0) as client:
        reply = client.chat.completions.create(model="sixply", messages=[{"role": "user", "content": QUESTION}])
        print(f"OpenAI's client  {(reply.choices[0].message.content or '').splitlines()[0]}")


def main() -> None:
    with small_system() as system:
        keys = KeyStore.of(system.settings, system.context.clock)
        key = keys.create(subject=VISITOR.subject, tenant=VISITOR.tenant, roles=sorted(VISITOR.roles))
        with running(system) as base_url:
            call_with_json(base_url, key)
            call_with_openai(base_url, key)
    print("One layer up: what if it shall act, and not only answer? python -m examples.agent_with_tools")


if __name__ == "__main__":
    main()
