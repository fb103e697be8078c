"""`sixply policy`: the permissions of each role, and the rules behind them."""

from __future__ import annotations

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
    """The rules; or allowed or denied, by which of them, and why."""
    from foundation.settings import flatten
    from orchestration.effects.policy import Policy
    from orchestration.settings import EVERYBODY
    from serving.access.identity import check_roles

    loaded = load_stack(stack)
    roles = roles or []
    settings = loaded.settings.orchestration.policy
    check_roles(roles, settings)
    rules, caller = Policy(settings), Principal("anybody", tenant or EVERYBODY, frozenset(roles))
    rulings = {}
    if tool is not None:
        rulings["tool"] = rules.tool(tool, principal=caller)
    if model is not None:
        rulings["model"] = rules.model(model, tenant=caller.tenant)
    if data_class is not None:
        rulings["data_class"] = rules.data(data_class, principal=caller)
    if rulings:
        content = {name: asdict(ruling) for name, ruling in rulings.items()}
        request = {"roles": sorted(roles), "tenant": caller.tenant, "rulings": content}
        if not terminal.write_json(json, request):
            for ruling in rulings.values():
                verdict = "[green]allowed[/]" if ruling.allowed else "[red]denied[/]"
                terminal.show(f"{verdict} by {ruling.rule}: {terminal.plain(ruling.why)}")
        return
    if roles or tenant:
        raise InvalidRequest("Say what it is about: TOOL=refund, MODEL=name or CLASS=confidential.")
    rows = [
        (rule, value, loaded.origins.get(f"orchestration.policy.{rule}", "default"))
        for rule, value in flatten(settings.model_dump(mode="json"))
    ]
    if not terminal.write_json(json, {rule: {"value": value, "from": origin} for rule, value, origin in rows}):
        shown = [
            (rule, ", ".join(map(str, value)) or "none" if isinstance(value, list) else value, origin)
            for rule, value, origin in rows
        ]
        terminal.show_table(["rule", "value", "from"], shown)
