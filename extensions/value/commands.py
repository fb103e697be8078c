"""`sixply business-case`, `outcome`, `roi` and `value-report`: the value of the system."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foundation.clock import SystemClock
from serving.cli import terminal
from serving.cli.opening import open_costs
from serving.cli.options import STACK, Json, Stack, load_stack

if TYPE_CHECKING:
    from extensions.value.value_report import ValueReport
    from serving.settings import Settings


def business_case(
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A value of a contract that is not written yet. Repeatable."),
    ] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Show the business case in outcomes.toml, before anything runs. Without a contract, ask for its values."""
    from extensions.value import contract_dialogue as dialogue
    from extensions.value.business_case import BusinessCase
    from extensions.value.outcome_contract import load_contract

    path = load_stack(stack).settings.observability.outcomes_file
    texts = [part for text in values or () for part in text.split(";") if part.strip()]
    is_example = path.exists() and dialogue.may_be_replaced(path) and bool(path.read_text(encoding="utf-8").strip())
    is_missing = dialogue.may_be_replaced(path) and not is_example
    may_ask = is_example and json is None and terminal.is_asked()
    replace = "The contract is the example's. Write yours in its place?"
    if texts or is_missing or (may_ask and typer.confirm(replace, default=False)):
        dialogue.write_contract(path, texts)
    elif is_example and not may_ask:  # who said no has just been asked
        terminal.show_note(f"{path} is the example's. At a terminal, make business-case asks for your figures.")
    case = BusinessCase(load_contract(path))
    if not terminal.write_json(json, case.as_dict()):
        terminal.show(case.table())


def roi(json: Json = None, stack: Stack = STACK) -> None:
    """Value the recorded outcomes: ship, hold or stop."""
    report = read_worth(load_stack(stack).settings)
    if not terminal.write_json(json, report.as_dict()):
        terminal.show(report.table())


def value_report(
    html: Annotated[
        Path | None, typer.Option(help="The file to write; var/reports/value.html by default.", dir_okay=False)
    ] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Write the value report as one page, for finance."""
    from extensions.value import value_page

    settings = load_stack(stack).settings
    report = read_worth(settings)
    path = html or settings.foundation.data_dir / "reports" / "value.html"
    terminal.write_text(path, value_page.page([report], written=SystemClock().now()))
    if not terminal.write_json(json, report.as_dict()):
        terminal.show(report.table())
        terminal.show(f"The page: {terminal.plain(path)}")


def read_worth(settings: Settings) -> ValueReport:
    from extensions.feedback.commands import open_outcomes
    from extensions.value.worth import worth

    with open_outcomes(settings) as store, open_costs(settings) as costs:
        return worth(settings, store, costs)
