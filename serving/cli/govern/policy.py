"""`sixply policy`: what a caller may do, and the rule behind it."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foundation import components
from foundation.clock import SystemClock
from foundation.errors import InvalidRequest
from foundation.types import Principal
from serving.cli import terminal
from serving.cli.options import STACK, Json, Stack, load_stack

if TYPE_CHECKING:
    from orchestration.effects.policy import Ruling
    from orchestration.settings import PolicySettings


def policy(
    *,
    roles: Annotated[list[str] | None, typer.Option("--role", help="A role of the caller. Repeatable.")] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="The caller's tenant; by default one without rules of its own.")
    ] = None,
    tool: Annotated[str | None, typer.Option("--tool", help="A tool: may it be called?")] = None,
    amount: Annotated[
        str | None, typer.Option("--amount", help="An amount for that tool: who must approve it? Sums count too.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="A model: may it answer?")] = None,
    data_class: Annotated[str | None, typer.Option("--class", help="A document class: may it be read?")] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Show whether the policy allows an action, and by which rule."""
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
        if amount is not None:
            rulings["approval"] = _rule_on_amount(tool, amount, settings, caller)
    if model is not None:
        rulings["model"] = rules.model(model, tenant=caller.tenant)
    if data_class is not None:
        rulings["data_class"] = rules.data(data_class, principal=caller)
    if not rulings:
        raise InvalidRequest(
            "Say what it is about: TOOL=refund (and AMOUNT=300, to see who approves it), MODEL=name or CLASS=confidential. make config lists all rules."
        )
    content = {name: asdict(ruling) for name, ruling in rulings.items()}
    if not terminal.write_json(json, {"roles": sorted(roles), "tenant": caller.tenant, "rulings": content}):
        for ruling in rulings.values():
            verdict = "[green]allowed[/]" if ruling.allowed else "[red]denied[/]"
            terminal.show(f"{verdict} by {ruling.rule}: {terminal.plain(ruling.why)}")


def _rule_on_amount(tool: str, amount: str, policy: PolicySettings, caller: Principal) -> Ruling:
    """Return whether the caller may approve an effect of this amount, and who else. Raises InvalidRequest: it is no amount."""
    from orchestration.actions import ProposedEffect
    from orchestration.contract import Approver
    from orchestration.effects.policy import Policy, Ruling

    try:
        total = Decimal(amount)
    except InvalidOperation:
        total = Decimal("NaN")
    if not total.is_finite():
        raise InvalidRequest(f'AMOUNT="{amount}" is no amount. Write it like AMOUNT=300 or AMOUNT=12.50.')
    clock = SystemClock()
    approver = components.load(
        "orchestration.policy.approver",
        policy.approver,
        components.Context(data_dir=Path(), clock=clock),
        expected=Approver,
    )
    effect = ProposedEffect(
        tool=tool, arguments={}, tenant=caller.tenant, requested_by="", amount=total, total=total, at=clock.now()
    )
    needs = approver.rule(effect)
    if needs is None:
        return Policy(policy).approver(caller)
    allowed = not needs.forbidden and bool(caller.roles & set(needs.roles))
    return Ruling(allowed=allowed, rule=needs.rule, why=needs.forbidden or needs.why)
