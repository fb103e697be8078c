"""What moves the score, and how much? The same six questions to four systems that differ in one line of stack.toml.

The language model is the part that people swap first. Here the same model quotes and writes, then another one
quotes; then the embedder changes, which decides what the model gets to see.
"""

import asyncio
from typing import Any

from examples.evaluate_it import golden_cases
from examples.small_system import small_system
from serving.judge.trial import golden_report

SYSTEMS: dict[str, dict[str, dict[str, Any]]] = {
    "as in stack.toml: the bundled model, quoting": {},
    "the bundled model, writing": {"orchestration": {"answers": {"compose": "generative"}, "tools": []}},
    "a double in its place, quoting": {"models": {"chat": {"use": "scripted"}}},
    "a weak embedder (hashed words, a double)": {"models": {"embedder": {"use": "hashing"}}},
}


def main() -> None:
    cases = golden_cases()
    print(f"{'system':45} did what it should   ({len(cases)} questions)")
    for name, overrides in SYSTEMS.items():
        with small_system(overrides) as system:
            report = asyncio.run(golden_report(system, cases))
        passed = sum(row.passed for row in report.rows)
        lost = ", ".join(row.case.id for row in report.rows if not row.passed)
        print(f"{name:45} {passed} of {len(cases)} {f'(lost {lost})' if lost else ''}")
    print("Where a system quotes, the score hardly depends on the model, but on what is retrieved.")
    print("One layer up: may one part then be tuned by itself? python -m examples.one_layer_alone")


if __name__ == "__main__":
    main()
