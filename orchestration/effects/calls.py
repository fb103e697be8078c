"""One checked call of a tool, and its outcomes that need no store: denied, failed, done before."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from langchain_core.tools import BaseTool

from foundation.output.rendering import encodable, one_line
from foundation.types import Principal
from orchestration.actions import Approval, Origin, ToolOutcome
from orchestration.effects.arguments import arguments_hash, metadata_of
from orchestration.effects.effect_log import effect_key

# Key beside a result in the effect log: the id of the model's call that did it
CALL_ID = "call_id"

Denial = Literal[
    "role", "tenant", "limit", "stopped", "approval", "mismatch", "rejected", "expired", "own", "forbidden"
]
# The policy setting behind each denial. For "role" and "tenant" the ruling names it, for "forbidden" the tool
RULES: Mapping[Denial, str] = {
    "limit": "calls_per_run",
    "stopped": "stops",
    "approval": "unasked",
    "mismatch": "unasked",
    "rejected": "approvers",
    "expired": "approval_expires_h",
    "own": "four_eyes",
}


@dataclass(frozen=True, kw_only=True)
class Call:
    """One checked call, bound to its place in one run."""

    tool: BaseTool
    arguments: dict[str, Any]
    principal: Principal
    run_id: str
    thread_id: str
    step: int
    origin: Origin
    call_id: str

    @property
    def hash(self) -> str:
        return arguments_hash(self.tool.name, self.principal.tenant, self.arguments)

    @property
    def key(self) -> str:
        return effect_key(self.run_id, self.step, self.hash)

    @property
    def approval_id(self) -> str:
        """The id of its approval, derived from the key, so that it is requested once and serves no other call."""
        return f"ap-{self.key[:32]}"

    def metadata_value(self, name: str, default: Any) -> Any:
        return metadata_of(self.tool, name, default)


def keep_plain(artifact: Any) -> Any:
    """Return the artifact where it is plain JSON, else `None`: what is stored must be readable after a restart."""
    try:
        return json.loads(encodable(json.dumps(artifact, ensure_ascii=False)))
    except (TypeError, ValueError):
        return None


def as_done_before(call: Call, stored: Mapping[str, Any]) -> ToolOutcome:
    """Return the stored result. Where another call of the same answer did it, its text says that it was not done again."""
    result = dict(stored)
    first = result.pop(CALL_ID, "")
    outcome = ToolOutcome(**result)
    if first in ("", call.call_id):
        return outcome
    again = "Already done by an equal call of this answer, so it was not done again. The result was:"
    content = f"{again} {outcome.content}"
    return outcome.model_copy(update={"content": content, "reason": "repeated"})


def fill_open_arguments(call: Call, settled: Mapping[str, Any]) -> Call:
    """Return the call with its open arguments (`None`) taken from `settled`."""
    arguments = {name: settled.get(name) if value is None else value for name, value in call.arguments.items()}
    return replace(call, arguments=arguments)


def find_mismatch(call: Call, stored: Approval | None) -> ToolOutcome | None:
    """Return a denial where the stored approval does not permit this call; `None` where it does."""
    if stored is None:
        return deny(call, "approval", "There is no such approval.")
    bound = (stored.approval_id, stored.tool, stored.arguments_hash, stored.tenant)
    if bound != (call.approval_id, call.tool.name, call.hash, call.principal.tenant):
        return deny(call, "mismatch", "The approval was given for something else.")
    if stored.status == "rejected":
        note = f": {stored.note}" if stored.note else "."
        return deny(call, "rejected", f"{stored.decided_by} did not approve it{note}")
    if stored.status == "expired":
        return deny(call, "expired", "The approval has expired. Ask for it again.")
    return None if stored.status == "approved" else deny(call, "approval", "It has not been approved yet.")


def deny(call: Call, reason: Denial, text: str) -> ToolOutcome:
    content = f"Nothing was done. {text}"
    return ToolOutcome(tool=call.tool.name, status="denied", content=content, reason=reason, rule=RULES.get(reason, ""))


def fail(call: Call, reason: Literal["tool", "timeout", "unknown"], text: str) -> ToolOutcome:
    return ToolOutcome(tool=call.tool.name, status="failed", content=encodable(text), reason=reason)


def advise_after_failure(call: Call) -> str:
    effect = call.metadata_value("effect", True)
    return "Whether it happened is unknown; it is not tried again, a person must look." if effect else "Try again."


def has_hidden_characters(value: Any) -> bool:
    """Whether the value has characters that an approver cannot see."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return any(unicodedata.category(character) in ("Cf", "Cc") and character not in "\n\t\r" for character in text)


def describe_call(call: Call) -> str:
    stated = ", ".join(f"{name} = {one_line(value)}" for name, value in call.arguments.items() if value is not None)
    return f"{call.tool.name} with {stated or 'no arguments'}."
