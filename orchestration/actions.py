"""Tools' metadata, outcomes of their calls, approvals and decisions."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, TypedDict

from langchain_core.tools import BaseTool
from pydantic import Field

from foundation.types import Principal
from orchestration.requests import Noun

Role = Literal["target", "content", "amount", "choice"]
Preview = Callable[[Mapping[str, Any], Principal], str]
Completion = Callable[[Mapping[str, Any], Principal], Mapping[str, Any]]
Prohibition = Callable[[Mapping[str, Any], Principal], tuple[str, str] | None]


class ToolMetadata(TypedDict, total=False):
    """A tool's description of itself, with cautious defaults. Other keys are refused: a misspelt `check_rules` would check nothing."""

    sample: Mapping[str, Any]
    """A valid call for `make contracts`: `{"tenant": "north", "arguments": {"order": "N-1"}}`; the tenant "*": all are told the same.
    Tests make this call, several times, on a data folder of their own."""
    effect: bool
    """Whether the tool changes something. Default: True."""
    idempotent: bool
    """Whether calls with one idempotency key act once, so that a cut-off call can be repeated. Default: False."""
    preview: Preview
    """Returns what the effect would do, for the approver. Raises `ToolException`: it cannot be done, so nobody is asked."""
    complete_arguments: Completion
    """Returns values for arguments left open (`None`), so that an approver sees the whole effect. Raises as `preview`."""
    check_rules: Prohibition
    """Returns the name and text of a house rule that forbids the effect now, or `None`. Called before an approval is
    requested and again right before the effect. No approval overrides it."""
    timeout_s: float
    """Time limit of a call, in seconds. Default: 30."""
    reach: Literal["own", "outward"]
    """Reach of the effect: "own" (stays in the house and can be undone there) or "outward" (default: leaves it,
    moves money, gives access or destroys something)."""
    arguments: Mapping[str, Role]
    """Argument -> "target" (default; steers the effect), "content" (text), "amount" or "choice" (harmless)."""
    units: Mapping[str, str]
    """The smallest unit of each amount, `{"amount_usd": "0.01"}`; others are refused: an approver would see them rounded."""
    choice_phrases: Mapping[str, Mapping[str, Sequence[str]]]
    """Phrases for each choice of an argument: `{"priority": {"P2": ["urgent"]}}`."""
    trusted: Collection[str] | Mapping[str, Mapping[str, str]]
    """Fields of the artifact that our own systems issue, "*" for all; a field may depend on others: `{"subject": {"status": "sent"}}`."""
    issued_by: Mapping[str, Collection[str]]
    """Argument -> the tools whose results hold its values. Without it any trusted record may, but for short numbers."""
    examples: Sequence[str]
    """Requests in a person's words, by which a planner finds the tool."""
    not_requests: Sequence[str]
    """Questions that sound like requests for the tool but that the documents answer."""
    trigger_pattern: str
    """A pattern of first words that always ask for the tool, whatever follows: "Remember that ..."."""


class ProposedEffect(Noun):
    """An effect that somebody may have to approve, as an approver rules on it."""

    tool: str
    arguments: dict[str, Any]
    tenant: str
    requested_by: str
    amount: Decimal | None = None
    """Of its arguments that are amounts; `None`: it has none."""
    total: Decimal | None = None
    """`amount` and what was approved of the tool for the same targets."""
    at: datetime


class Requirement(Noun):
    """Who has to approve an effect."""

    rule: str
    """The setting, or the rule of a part of your own, that says so."""
    why: str = ""
    """For a person, in one sentence."""
    roles: tuple[str, ...] = ()
    people: int = 1
    """How many people with one of the roles."""
    four_eyes: bool | None = None
    """Whether whoever asked for it may not approve it; `None`: as the policy has it for all."""
    forbidden: str = ""
    """Why it is not done, whoever would approve it; empty: it may be."""


class Approval(Noun):
    """A permission for one effect, bound to exactly these arguments, or to others that the approver granted instead."""

    approval_id: str
    thread_id: str
    tenant: str
    requested_by: str
    tool: str
    arguments: dict[str, Any]
    arguments_hash: str
    reason: str
    asked: str = ""
    """The person's request, word for word, for the approver."""
    request_hash: str = ""
    """Equal where the same words of the person ask for the same effect, `content` arguments aside; empty: not known."""
    status: Literal["pending", "approved", "rejected", "expired"] = "pending"
    requested_at: datetime
    expires_at: datetime
    needs: Requirement | None = None
    """Who has to approve it, as an approver said when it was asked for; asked again with each decision. `None`: `approvers`."""
    approved_by: tuple[str, ...] = ()
    """Who approved it so far, where more than one person has to."""
    decided_by: str | None = None
    decided_at: datetime | None = None
    decision_reason: str = ""
    edited: dict[str, Any] | None = None
    """Arguments that the approver granted instead of `arguments`; `None`: those."""
    edited_hash: str = ""

    @property
    def granted_arguments(self) -> dict[str, Any]:
        """The arguments that may run once approved."""
        return self.arguments if self.edited is None else self.edited

    @property
    def granted_hash(self) -> str:
        return self.edited_hash or self.arguments_hash


class Decision(Noun):
    approval_id: str
    approve: bool
    reason: str = ""
    arguments: dict[str, Any] | None = None
    """All arguments of the call to make instead of the requested one; only with `approve`."""


class ToolOutcome(Noun):
    """The outcome of one tool call. `content` may be shown to a person in every status."""

    tool: str
    status: Literal["done", "waiting", "denied", "failed"]
    content: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    """The checked arguments of the call; empty where it was not made."""
    artifact: Any = None
    approval: Approval | None = None
    reason: str = ""
    """A stable word: role, tenant, arguments, approval, mismatch, rejected, expired, own, forbidden, tool, timeout, unknown,
    limit, stopped, repeated (the same request did it, or waits); of a `done` effect: words (the person's own words sufficed), repeated (an equal call did it)."""
    rule: str = ""
    """The policy setting that denied the call or made it wait; `stops` for a kill switch; the tool's rule where it is forbidden."""


class Origin(Noun):
    """The sources to which the values of a call may be traced. With none, every effect needs an approval."""

    words: str = ""
    """The person's words in this conversation; never a document, a result or a model's text."""
    asked: str = ""
    """The request that the call is to meet, word for word, with the words that completed it."""
    results: tuple[ToolOutcome, ...] = ()
    """The executor's outcomes of earlier calls for this person in this conversation."""
    taken_back: tuple[str, ...] = ()
    """Runs that are no part of this conversation any more. An effect of theirs that is asked for again is not made again."""


class ToolSet(list[BaseTool]):
    """The tools of one source; `close` ends its connection."""

    def __init__(self, tools: Iterable[BaseTool], close: Callable[[], None]) -> None:
        super().__init__(tools)
        self.close = close
