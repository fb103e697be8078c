"""Is it worth its money? Agreed before the build, counted afterwards.

`outcomes.toml` states what a case costs today, what counts as resolved, which floors must hold, and the rule of the
decision. Afterwards people record the outcome of each answer. Answers without one count as unknown, never as accepted.
"""

import asyncio
from pathlib import Path

from examples.evaluate_it import ANSWERS, golden_cases
from examples.small_system import ask, small_system
from extensions.feedback.store import Outcome, OutcomeStore, Verdict
from extensions.value.outcome_contract import OutcomeContract, load_contract
from extensions.value.roi import value_report
from observability.evaluation.floors import measure_floors
from observability.stores import history
from serving.judge.trial import golden_report
from serving.wiring import System

BECAME: tuple[Verdict, ...] = ("accepted", "accepted", "edited", "rejected")


def record_outcomes(system: System) -> None:
    for question, verdict in zip(ANSWERS, BECAME, strict=True):
        answer = ask(system, question)
        system.hooks.service(OutcomeStore).record(
            Outcome(answer.answer_id, verdict, system.context.clock.now(), recorded_by="lena")
        )
        print(f"recorded   {verdict:9} “{question}”")


def decide(system: System, contract: OutcomeContract, title: str) -> None:
    report = asyncio.run(golden_report(system, golden_cases()))
    recorded = system.hooks.service(OutcomeStore).all()
    costs = {outcome.answer_id: history.answers(system.observability.costs)[outcome.answer_id] for outcome in recorded}
    worth = value_report(contract, recorded, costs, measured=measure_floors(report.as_dict()["rows"]))
    print(title)
    for figure in worth.figures:
        if figure.key in ("usd_per_case", "usd_net_per_month", "usd_per_answer"):
            print(f"  {figure.words:16} {figure}")
    print(f"  verdict          {worth.verdict.upper()}")
    for reason in worth.reasons:
        print(f"    because {reason}")


def main() -> None:
    contract = load_contract(Path("outcomes.toml"))
    print(
        f"contract   {contract.process.volume_per_month:,.0f} cases a month, {contract.process.minutes_per_case:g} minutes each"
    )
    print(f"resolved   {contract.resolved.definition}")
    print(f"signed     {'; '.join(f'{signature.name}, {signature.on}' for signature in contract.signed)}")
    with small_system() as system:
        record_outcomes(system)
        decide(system, contract, "what these four outcomes say:")
    print("Four outcomes decide nothing: below the number that the contract states there is no estimate.")
    print("One layer up: how does it get better with use? python -m examples.compound")


if __name__ == "__main__":
    main()
