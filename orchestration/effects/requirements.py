"""Who has to approve an effect: what the approver is asked, with the sum of what was approved before for the same targets."""

import asyncio
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from langchain_core.tools import BaseTool

from foundation.errors import ComponentError, SixplyError
from orchestration.actions import Approval, ProposedEffect, Requirement
from orchestration.calls import amount_names, metadata_of
from orchestration.contract import Approver


async def rule_on(approver: Approver | None, effect: ProposedEffect) -> Requirement | None:
    """Return what the approver says; `None` without one. Raises ComponentError: it failed, so nothing is done."""
    if approver is None:
        return None
    try:
        return await asyncio.to_thread(approver.rule, effect)
    except SixplyError:
        raise
    except Exception as error:  # foreign code
        name = f"{type(approver).__module__}.{type(approver).__name__}"
        raise ComponentError(
            f"Nothing was done: {name}, which says who approves {effect.tool}, failed with {type(error).__name__}: {error}"
        ) from error


def propose(
    tool: BaseTool,
    arguments: Mapping[str, Any],
    *,
    tenant: str,
    requested_by: str,
    granted: Sequence[Approval],
    at: datetime,
) -> ProposedEffect:
    """Return the effect of a call. `granted` are the approved calls of the same tool and tenant, without this one."""
    amount = _amount_of(tool, arguments)
    same = [
        earlier.granted_arguments
        for earlier in granted
        if _targets(tool, earlier.granted_arguments) == _targets(tool, arguments)
    ]
    before = sum((_amount_of(tool, earlier) or Decimal(0) for earlier in same), Decimal(0))
    return ProposedEffect(
        tool=tool.name,
        arguments=dict(arguments),
        tenant=tenant,
        requested_by=requested_by,
        amount=amount,
        total=None if amount is None else amount + before,
        at=at,
    )


def _amount_of(tool: BaseTool, arguments: Mapping[str, Any]) -> Decimal | None:
    stated = [arguments[name] for name in amount_names(tool) if arguments.get(name) is not None]
    try:
        amounts = [Decimal(str(value)) for value in stated]
    except InvalidOperation:
        return None
    return sum(amounts, Decimal(0)) if amounts and all(amount.is_finite() for amount in amounts) else None


def _targets(tool: BaseTool, arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return the arguments that say what the effect is for, in one spelling: a sign more must not begin a new sum."""
    roles = dict.fromkeys(metadata_of(tool, "units", {}), "amount") | metadata_of(tool, "arguments", {})
    steering = {name: value for name, value in arguments.items() if roles.get(name, "target") == "target"}
    return {name: _spell_plainly(str(value)) for name, value in steering.items() if value is not None}


def _spell_plainly(value: str) -> str:
    return "".join(sign for sign in unicodedata.normalize("NFKC", value).casefold() if sign.isalnum())
