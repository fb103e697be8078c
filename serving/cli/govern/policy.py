"""`sixply policy`: what a caller may do, and the rule behind it."""

from dataclasses import asdict
from typing import Annotated

import typer

from foundation.errors import InvalidRequest
from foundation.types import Principal
from serving.cli import terminal
from serving.cli.options import STACK, Json, Stack, load_stack


def policy(
    *,
    roles: Annotated[list[str] | None, typer.Option("--role", help="Of the caller; may be repeated.")] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Of the caller; absent: one without rules of its own.")
    ] = None,
    tool: Annotated[str | None, typer.Option("--tool", help="May it be called?")] = None,
    model: Annotated[str | None, typer.Option("--model", help="May it answer?")] = None,
    data_class: Annotated[str | None, typer.Option("--class", help="May documents of this class be seen?")] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Allowed or denied, by which rule, and why."""
    from orchestration.effects.policy import Policy
    from orchestration.settings import EVERYBODY
    from serving.access.identity import check_roles

    roles = roles or []
    settings = load_stack(stack).settings.orchestration.policy
    check_roles(roles, settings)
    rules, caller = Policy(settings), Principal("anybody", tenant or EVERYBODY, frozenset(roles))
    rulings = {}
    if tool is not None:
        rulings["tool"] = rules.tool(tool, principal=caller)
    if model is not None:
        rulings["model"] = rules.model(model, tenant=caller.tenant)
    if data_class is not None:
        rulings["data_class"] = rules.data(data_class, principal=caller)
    if not rulings:
        raise InvalidRequest(
            "Say what it is about: TOOL=refund, MODEL=name or CLASS=confidential. make config lists all rules."
        )
    content = {name: asdict(ruling) for name, ruling in rulings.items()}
    if not terminal.write_json(json, {"roles": sorted(roles), "tenant": caller.tenant, "rulings": content}):
        for ruling in rulings.values():
            verdict = "[green]allowed[/]" if ruling.allowed else "[red]denied[/]"
            terminal.show(f"{verdict} by {ruling.rule}: {terminal.plain(ruling.why)}")
