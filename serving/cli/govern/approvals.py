"""`sixply approvals`, `approve` and `reject`: list and decide pending actions."""

from __future__ import annotations

import asyncio
import json as jsons
import os
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foundation.clock import SystemClock
from foundation.errors import InvalidRequest
from serving.cli import terminal
from serving.cli.options import LOCAL, STACK, Json, Reason, Stack, Tenant, load_stack, local

if TYPE_CHECKING:
    from orchestration.events import Answer
    from serving.settings import Loaded

KEY_VARIABLE = "SIXPLY_KEY"


def approvals(tenant: Tenant = LOCAL, json: Json = None, stack: Stack = STACK) -> None:
    """List actions that wait for approval."""
    from orchestration.effects.approvals import DECIDED, SqliteApprovals, find_duplicates
    from serving.settings import context_of

    context = context_of(load_stack(stack).settings)
    with closing(SqliteApprovals(context.data_dir / "approvals.sqlite", SystemClock(), context.records)) as store:
        waiting = asyncio.run(store.pending(tenant))
        same = find_duplicates(waiting, asyncio.run(store.decided(tenant, limit=DECIDED)))
    if not terminal.write_json(json, [approval.model_dump(mode="json") for approval in waiting]):
        terminal.show_rows(
            [(row, terminal.format_arguments(row.arguments)) for row in waiting],
            "id | tool | arguments | asked by | until (UTC)",
            "{0[0].approval_id} | {0[0].tool} | {0[1]} | {0[0].requested_by} | {0[0].expires_at:%Y-%m-%d %H:%M}",
        )
        for approval_id, twin in same.items():
            was = f"was approved by {twin.decided_by}" if twin.status == "approved" else "waits above"
            terminal.show_note(
                f"{approval_id} asks for the same as {twin.approval_id}, which {was}. Both would do it twice."
            )
        decide = "Decide with make approve ID=... or make reject ID=..., for the same TENANT."
        terminal.console().print(f"\n[dim]{decide if waiting else 'Nothing waits.'}[/]")


def approve(
    approval: Annotated[str, typer.Argument(metavar="ID", help="The id, as the list shows it.")],
    *,
    tenant: Tenant = LOCAL,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Approve with this argument changed. Repeatable."),
    ] = None,
    reason: Reason = "",
    stack: Stack = STACK,
) -> None:
    """Approve a waiting action, as requested or with other arguments."""
    _decide(load_stack(stack), approval, tenant=tenant, reason=reason, approve=True, changes=changes or [])


def reject(
    approval: Annotated[str, typer.Argument(metavar="ID", help="The id, as the list shows it.")],
    tenant: Tenant = LOCAL,
    reason: Reason = "",
    stack: Stack = STACK,
) -> None:
    """Reject a waiting action."""
    _decide(load_stack(stack), approval, tenant=tenant, reason=reason, approve=False)


def _decide(
    loaded: Loaded, approval_id: str, *, tenant: str, reason: str, approve: bool, changes: Sequence[str] = ()
) -> None:
    """Decide as an approver and show the result. Raises Unauthenticated: SIXPLY_KEY holds no valid key."""
    from orchestration.actions import Decision
    from orchestration.run import answering
    from serving.access.identity import KeyStore, known_roles
    from serving.cli.opening import open_or_ask

    if key := os.environ.get(KEY_VARIABLE):
        approver = KeyStore.of(loaded.settings, SystemClock()).authenticate(f"Bearer {key}")
    else:
        approver = local(tenant, sorted(known_roles(loaded.settings.orchestration.policy)), None)
    edits = dict(map(_change, changes))
    with open_or_ask(loaded) as system:

        async def decide() -> Answer:
            approval = await system.orchestration.executor.may_decide(approval_id, approver)
            arguments = {**approval.arguments, **edits} if edits else None
            decision = Decision(approval_id=approval_id, approve=approve, reason=reason, arguments=arguments)
            return await answering.resume(system.agent, decision, approver)

        terminal.show_answer(asyncio.run(decide()))


def _change(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name.strip():
        raise InvalidRequest(f'"{text}" changes no argument. Say: --set amount=120, or --set reason="as agreed".')
    try:
        return name.strip(), jsons.loads(value)
    except ValueError:  # no JSON, so it is meant as a text
        return name.strip(), value
