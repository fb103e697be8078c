"""How would you know that it is right? Six questions with known answers, and a score with its uncertainty.

Two of them have no answer in the documents: a system that invents one loses there what it wins elsewhere.
"""

import asyncio

from examples.small_system import VISITOR, small_system
from observability.evaluation.golden_set import GoldenCase
from serving.judge.trial import golden_report

ANSWERS = {
    "How much is a single adult ticket to Graynes?": ("14.50 euros", "fares.md"),
    "What does a bicycle cost?": ("3 euros", "fares.md"),
    "How long does the crossing take?": ("55 minutes", "timetable.md"),
    "How long are found items kept?": ("30 days", "luggage.md"),
}
UNANSWERED = ("Which band plays on board on Saturdays?", "How long does the crossing take by plane?")


def golden_cases() -> list[GoldenCase]:
    answerable = [
        GoldenCase(
            id=f"a{number}",
            kind="answerable",
            tenant=VISITOR.tenant,
            question=question,
            answerable=True,
            answers=(fact,),
            gold_documents=(document,),
        )
        for number, (question, (fact, document)) in enumerate(ANSWERS.items(), 1)
    ]
    return answerable + [
        GoldenCase(id=f"u{number}", kind="unanswerable", tenant=VISITOR.tenant, question=question, answerable=False)
        for number, question in enumerate(UNANSWERED, 1)
    ]


def main() -> None:
    with small_system() as system:
        report = asyncio.run(golden_report(system, golden_cases()))
    print("case  did what it should  question")
    for row in report.rows:
        print(f"{row.case.id:5} {'yes' if row.passed else 'NO':19} {row.case.question}")
    print("measure                  mean [95 % interval]     N")
    for measure in ("passed", "answer_contained", "refused", "leaked"):
        score = report.overall[measure]
        print(f"{measure:24} {score!s:24} {score.n}")
    print(
        "The system was fooled by a question that sounds like a document. Six questions prove little: wide intervals."
    )
    print("One layer up: now that there is a score, what moves it? python -m examples.swap_a_part")


if __name__ == "__main__":
    main()
