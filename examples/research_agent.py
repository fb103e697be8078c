"""How does an agent of your own do research and act, with a typed result that a program can use?

The agent is examples/research_desk/trips.py, in about sixty lines: two tools, a sub-agent that reads, a typed result. It is
served as any other. The strong model is a double that plays one script: examples/research_desk/double.py.
"""

from collections import Counter
from typing import Any

import httpx2

from examples.small_system import VISITOR, small_system
from serving.access.identity import KeyStore
from serving.server import running

DESK = "examples.research_desk"
QUESTION = "Two adults with a bicycle on crossing C-104: what does it cost, what must we know? Please book the 2 seats."
STACK = {
    "models": {
        "chat": {"use": f"{DESK}.double:build"},
        "prices": {"stated": {"scripted (test double)": {"input": 2.0, "output": 10.0}}},
    },
    "orchestration": {
        "agent": {"use": f"{DESK}.trips:build"},
        "tools": [{"use": f"{DESK}.tools:build"}],
        "policy": {"roles": {"agent": ["free_seats", "book_seats"]}},
    },
}


def show(answer: dict[str, Any]) -> None:
    steps = Counter(step["name"] for step in answer["steps"])
    calls, read = steps["model"] + steps["look_up: model"], answer["usage"]["input_tokens"]
    print(f"{answer['status']:9} {answer['text']}")
    print(f"  steps   {', '.join(f'{name} ({times})' for name, times in sorted(steps.items()))}")
    print(f"  cites   {', '.join(sorted({cited['uri'] for cited in answer['citations']})) or 'nothing yet'}")
    print(f"  bill    {float(answer['cost_usd']):.4f} dollars, {calls} calls of the model, {read} tokens read")


def main() -> None:
    with small_system(STACK) as system:
        keys = KeyStore.of(system.settings, system.context.clock)
        ada = keys.create(subject=VISITOR.subject, tenant=VISITOR.tenant, roles=["agent"])
        lena = keys.create(subject="lena", tenant=VISITOR.tenant, roles=["approver"])
        with running(system) as base_url, httpx2.Client(base_url=base_url, timeout=60, trust_env=False) as http:

            def post(path: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
                answer: dict[str, Any] = http.post(path, json=body, headers={"Authorization": f"Bearer {key}"}).json()
                return answer

            waiting = post("/v1/answers", ada, {"question": QUESTION})
            show(waiting)
            print("lena      approves it")
            show(post(f"/v1/approvals/{waiting['approval']['approval_id']}", lena, {"approve": True}))
            bookings = (system.context.data_dir / "bookings.txt").read_text().splitlines()
            print(f"bookings  {bookings}")
            cheap = post("/v1/answers", ada, {"question": QUESTION, "max_usd": 0.001})
            print(f"for less  {cheap['status']} ({cheap['stop_reason']}): {cheap['text'].splitlines()[0]}")
            system.observability.telemetry.flush()
            spans = [span.name for span in system.observability.spans.trace(waiting["trace_id"])]
            print(
                f"trace     {len(spans)} spans, {sum(name.startswith('chat ') for name in spans)} of them calls of the model"
            )
    print("One layer up: what happens when a part of this fails? python -m examples.when_it_fails")


if __name__ == "__main__":
    main()
