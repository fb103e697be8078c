"""What does one answer cost, in which layer, and how does the bill become smaller?

The same question three times: the model writes the answer; the system quotes the sentence that answers; and the cached
answer is returned. Time on this machine costs money, too: [models] machine_usd_per_hour.
"""

import asyncio
from typing import Literal

from examples.small_system import VISITOR, small_system
from foundation.types import LAYERS
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer

QUESTION = "How long does the crossing take?"
STEPS: dict[str, Literal["generative", "extractive"]] = {
    "writing": "generative",
    "quoting": "extractive",
    "cached": "extractive",
}


def main() -> None:
    from observability.reports.layer_bill import layer_bill

    with small_system({"extensions": ["answer_cache", "planned_agent", "structured"]}) as system:
        asyncio.run(answer(system.agent, AnswerRequest(question="What does a bicycle cost?"), VISITOR))  # warm up
        bills = {}
        for name, compose in STEPS.items():
            reply = asyncio.run(answer(system.agent, AnswerRequest(question=QUESTION, compose=compose), VISITOR))
            print(f"{name}: {reply.text} ({reply.usage.output_tokens or 0} tokens written)")
            system.observability.telemetry.flush()
            assert reply.trace_id is not None
            bills[name] = layer_bill(
                system.observability.spans.trace(reply.trace_id), system.observability.costs.of_trace(reply.trace_id)
            )
    print("layer            " + "".join(f"{f'{name}, ms':>14}" for name in bills))
    for layer in (layer for layer in LAYERS if any(bill.share(layer).spans for bill in bills.values())):
        print(f"{layer:17}" + "".join(f"{bill.share(layer).ms:14.1f}" for bill in bills.values()))
    print(f"{'whole':17}" + "".join(f"{bill.ms:14.1f}" for bill in bills.values()))
    print("dollars a million" + "".join(f"{bill.usd * 1_000_000:14.2f}" for bill in bills.values()))
    print("A cheaper model would have changed one row. Asking whether the row is needed changed the bill.")
    print("One layer up: how do you see this of every request? python -m examples.watch_it")


if __name__ == "__main__":
    main()
