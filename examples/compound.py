"""How does it get better with use? Feedback becomes a case, the case a change, and the gate shows the gain.

Without the case nobody would know whether the change helped; without the others nobody would know what it broke.
"""

import asyncio

from examples.evaluate_it import golden_cases
from examples.small_system import VISITOR, ask, small_system, store
from extensions.feedback.store import Outcome, OutcomeStore
from extensions.proposals.from_feedback import Asked, proposals
from observability.evaluation.baseline import Side, compare
from observability.evaluation.golden_set import GoldenCase
from orchestration.events import Turn
from serving.judge.trial import golden_report
from serving.wiring import System

QUESTION = "Does a guitar count as luggage?"
NOTE = "A guitar does not count as luggage and travels free."
CHANGE = {"instruments.md": "# Musical instruments\n\nA guitar does not count as luggage and travels free."}


def case_from_feedback(system: System) -> GoldenCase:
    """Ask, let somebody correct the answer, and make a case of it, which a person must review."""
    answer = ask(system, QUESTION)
    print(f"1 asked     “{QUESTION}” {answer.text}")
    now = system.context.clock.now()
    outcome = system.hooks.service(OutcomeStore).record(
        Outcome(answer.answer_id, "edited", now, recorded_by="lena", note=NOTE)
    )
    print(f"2 feedback  lena sends instead: {outcome.note}")
    turn = Turn(answer_id=answer.answer_id, question=QUESTION, status=answer.status, text=answer.text, at=now)
    (proposal,) = proposals([outcome], {answer.answer_id: Asked(turn, VISITOR)})
    reviewed = {**proposal.case, "answers": ["travels free"], "gold_documents": list(CHANGE)}
    print(
        f"3 case      reviewed by a person: the answer must say {reviewed['answers']}, from {reviewed['gold_documents']}"
    )
    return GoldenCase(**reviewed)


def measure(system: System, name: str, cases: list[GoldenCase]) -> Side:
    report = asyncio.run(golden_report(system, cases))
    # `compare` refuses different documents, which are the change here, so both sides carry the same digests
    return Side(name, [row.as_dict() for row in report.rows], "growing", "the same", {}, {})


def main() -> None:
    with small_system() as system:
        cases = [*golden_cases(), case_from_feedback(system)]
        before = measure(system, "before", cases)
        store(system, CHANGE)
        print(f"4 change    a document that says it: {', '.join(CHANGE)}")
        after = measure(system, "after", cases)
        gate = compare(before, after, system.settings.observability.compare)
    passed = gate.metrics["passed"]
    print(f"5 gate      did what it should: {passed.a:.2f} before, {passed.b:.2f} after, of {passed.n} cases")
    print(f"            the difference: {passed.diff:+.2f} [{passed.low:+.2f}, {passed.high:+.2f}]")
    for change in gate.changed:
        print(f"            changed: “{change['question']}” {change['a']['status']} -> {change['b']['status']}")
    print(f"            got worse: {', '.join(gate.fallen) or 'nothing'}")
    print("The case stays. Whoever breaks this answer next year hears of it before anybody else does.")
    print("One layer up: there is none; make it yours. docs/your-own.md")


if __name__ == "__main__":
    main()
