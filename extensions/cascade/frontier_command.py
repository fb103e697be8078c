"""`sixply model-frontier`: the golden set with every configured chat model alone, and with the cheaper ones first."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, cast

from foundation.errors import InvalidRequest
from serving.cli import terminal
from serving.cli.options import STACK, Golden, Json, Limit, Stack, load_stack

if TYPE_CHECKING:
    from extensions.cascade.frontier import Point
    from observability.evaluation.golden_set import CaseScore, GoldenCase
    from orchestration.contract import Agent
    from serving.wiring import System


def model_frontier(*, golden: Golden = None, limit: Limit = None, json: Json = None, stack: Stack = STACK) -> None:
    """Plot quality against cost and latency. Each chat model is one point; one keeps the outcome contract for the least."""
    from extensions.cascade.cascade import why_up
    from extensions.cascade.frontier import draw_frontier
    from extensions.value.outcome_contract import load_contract
    from observability.evaluation.golden_set import load_golden
    from observability.evaluation.questions import evenly
    from serving.judge.trial import golden_file, golden_report
    from serving.wiring import open_system

    loaded = load_stack(stack)
    contract = load_contract(loaded.settings.observability.outcomes_file)
    cases = cast("list[GoldenCase]", evenly(cast("Any", load_golden(golden or golden_file(loaded.settings))), limit))
    if len(cases) < 2:
        raise InvalidRequest("One half of the questions chooses and the other is shown, so it takes two at least.")
    with open_system(loaded) as system, terminal.progress() as progress:
        models: dict[str, Sequence[CaseScore]] = {}
        for name, agent in _agents(system).items():

            def count(done: int, name: str = name) -> None:
                progress(name, done, len(cases))

            models[name] = asyncio.run(golden_report(replace(system, agent=agent), cases, count)).rows
        points, chosen = draw_frontier(models, why_up, contract, seed=system.context.seed)
    summary = {"points": [asdict(point) for point in points], "chosen": chosen and asdict(chosen)}
    if not terminal.write_json(json, {"cases": len(cases), **summary}):
        columns = "|up below|went up|passed|n|USD an answer|USD an accepted one|seconds|floors broken|"
        rows = [(*_row(point), "chosen" if point is chosen else "") for point in points]
        terminal.show_table(columns.split("|"), rows)
        if chosen is None:
            terminal.show("\nNo point keeps every floor of the outcome contract.")


def _agents(system: System) -> dict[str, Agent]:
    from extensions.cascade.cascade import CheaperModels, sample
    from foundation.components import load
    from models.pricing import identity

    models, parts = system.hooks.service(CheaperModels), replace(system.parts, services=())

    def build(chat: Any) -> Agent:
        agent: Agent = load("orchestration.agent", models.options.by_model, replace(parts, chat=chat))
        return agent

    cheaper = {name: sample(build(chat), models.options, parts) for name, chat in models.chats.items()}
    return {**cheaper, identity(system.models.chat)[1]: build(system.models.chat)}


def _row(point: Point) -> tuple[Any, ...]:
    usd = terminal.format_price(point.usd.mean)
    accepted = terminal.format_price(point.usd_per_accepted) if point.passed.mean else "none accepted"
    up_below = "" if point.up_below is None else f"{point.up_below:.2f}"
    seconds = f"{point.seconds.mean or 0.0:.2f}"
    quality = str(point.passed), point.passed.n
    return point.name, up_below, f"{point.went_up:.2f}", *quality, usd, accepted, seconds, len(point.broken)
