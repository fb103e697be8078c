"""What breaks when one layer is tuned alone?

Somebody wants more answers and lowers the one setting that prevents them: min_evidence, the confidence below which
the system says that the documents do not answer. The figure they watched gets better; look at the other column.
"""

import asyncio

from examples.evaluate_it import golden_cases
from examples.small_system import VISITOR, ask, small_system
from observability.evaluation.golden_set import GoldenCase
from serving.judge.trial import golden_report

TRAPS = (
    "How much is a ticket from Port Ellis to London?",
    "Who cooks in the restaurant?",
    "What does a cabin with a view cost?",
    "When was the ferry built?",
    "May I smoke on deck?",
)


def main() -> None:
    cases = golden_cases() + [
        GoldenCase(id=f"t{number}", kind="unanswerable", tenant=VISITOR.tenant, question=trap, answerable=False)
        for number, trap in enumerate(TRAPS, 1)
    ]
    print("min_evidence  answers given  right ones  said no where no document says it")
    for least in (0.46, 0.3, 0.0):
        with small_system({"retrieval": {"grounding": {"min_evidence": least, "answered_from": 0.4}}}) as system:
            report = asyncio.run(golden_report(system, cases))
            example = ask(system, TRAPS[1])
        given = sum(row.status == "answered" for row in report.rows)
        right = [row.passed for row in report.rows if row.case.answerable]
        refused = [row.passed for row in report.rows if not row.case.answerable]
        print(f"{least:12} {given:14} {sum(right):6} of {len(right)} {sum(refused):9} of {len(refused)}")
        print(f"              “{example.question}” {example.text.splitlines()[0]}")
    print("More answers, and no new one is right. Tune a layer by the figure of the whole system, not by its own.")
    print("One layer up: what does one answer cost, and where? python -m examples.cost_and_latency")


if __name__ == "__main__":
    main()
