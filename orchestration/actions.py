"""What tools say of themselves, what becomes of their calls, and what a person decides about them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict

from pydantic import Field

from foundation.types import Principal
from orchestration.requests import Noun

Role = Literal["target", "content", "amount", "choice"]
Preview = Callable[[Mapping[str, Any], Principal], str]
Completion = Callable[[Mapping[str, Any], Principal], Mapping[str, Any]]
Prohibition = Callable[[Mapping[str, Any], Principal], tuple[str, str] | None]


class ToolMetadata(TypedDict, total=False):
    """What a tool says of itself; what it leaves out is read as the more careful of both. Other keys are refused: a misspelt
    `forbidden` would forbid nothing."""

    effect: bool
    """Default True: it changes something."""
    idempotent: bool
    """Default False. Called twice with one idempotency key it acts once, so that a call whose end was lost in a crash can be made
    again."""
    preview: Preview
    """What the effect would do, for the approver; raises `ToolException` where it cannot be done, and then nobody is asked."""
    completed: Completion
    """The arguments with what the tool's own data settle of those left open (`None`), before a person is asked, so that what is
    approved is all that will be done; raises `ToolException` as `preview` does."""
    forbidden: Prohibition
    """The rule of the house that forbids this effect as things stand, and what it says; asked before a person is and again right
    before the effect. No approval overrides it."""
    timeout_s: float
    """Default 30."""
    reach: Literal["own", "outward"]
    """Whether the effect stays in our own house and can be undone there, or (default) leaves it, moves money, gives access,
    destroys."""
    arguments: Mapping[str, Role]
    """Roles: "target" (default; steers the effect), "content" (text that goes along), "amount", "choice" (any value is harmless)."""
    units: Mapping[str, str]
    """The smallest unit of an amount: `{"amount_usd": "0.01"}`. What is no whole number of them does not fit: it would be shown
    rounded to whoever approves it."""
    said_as: Mapping[str, Mapping[str, Sequence[str]]]
    """Argument by choice by phrases for it: `{"priority": {"P2": ["urgent"]}}`."""
    asked_by: Sequence[str]
    """Beginnings of the verbs by which people ask for it, "not forget" negated. Where none is said, a person is asked."""
    trusted: Collection[str]
    """Fields of the artifact that our own systems issue, "*" for all: others can be anybody's text."""
    examples: Sequence[str]
    """Requests in a person's words, by which the planner finds it."""
    questions: Sequence[str]
    """Questions that sound like it and that the documents answer."""
    opens: str
    """A pattern of the first words by which people ask for it, whatever follows: "Remember that ..."."""


class Approval(Noun):
    """A pending or decided permission for one effect, bound to exactly these arguments.

    An approver may grant other arguments than were asked for. Both stay on record; what was granted is what runs.
    """

    approval_id: str
    thread_id: str
    tenant: str
    requested_by: str
    tool: str
    arguments: dict[str, Any]
    arguments_hash: str
    reason: str
    asked: str = ""
    """What the person said, word for word, for whoever decides."""
    status: Literal["pending", "approved", "rejected", "expired"] = "pending"
    requested_at: datetime
    expires_at: datetime
    decided_by: str | None = None
    decided_at: datetime | None = None
    note: str = ""
    edited: dict[str, Any] | None = None
    """What the approver granted instead of `arguments`; `None`: just those."""
    edited_hash: str = ""

    @property
    def granted_arguments(self) -> dict[str, Any]:
        """The arguments that may run once it is approved."""
        return self.arguments if self.edited is None else self.edited

    @property
    def granted_hash(self) -> str:
        return self.edited_hash or self.arguments_hash


class ApprovalNotice(Noun):
    """What may be told outside of an approval that waits: no arguments, no words of a person, no name of who asked."""

    approval_id: str
    tenant: str
    tool: str
    requested_at: datetime
    expires_at: datetime
    link: str = ""
    """Where it is decided, if `[orchestration] approval_link` says."""


class Decision(Noun):
    approval_id: str
    approve: bool
    note: str = ""
    arguments: dict[str, Any] | None = None
    """All arguments of the call to be made instead of the one that was asked for; only with `approve`."""


class ToolOutcome(Noun):
    """What came of one tool call. `content` is fit for a person in every status."""

    tool: str
    status: Literal["done", "waiting", "denied", "failed"]
    content: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    """What it was called with, checked; empty where it was not called."""
    artifact: Any = None
    """The result as data, where the tool gives one."""
    approval: Approval | None = None
    reason: str = ""
    """A stable word: role, tenant, arguments, approval, mismatch, rejected, expired, forbidden, tool, timeout, unknown, limit,
    stopped; of a `done` effect `words` where the person's own words were enough, `repeated` where an equal call had done it."""
    rule: str = ""
    """The setting of the policy that denied it or made it wait, `stops` for a kill switch, of what is forbidden the tool's rule."""


class Origin(Noun):
    """What the values of a call may be traced to. Empty, nothing can be, and every effect needs an approval."""

    words: str = ""
    """What the person said in this conversation. Never a document, a result or what a model wrote."""
    asked: str = ""
    """The last of it: the request that the call is to meet, word for word, with what was said to complete it."""
    results: tuple[ToolOutcome, ...] = ()
    """What earlier calls gave this person in this conversation, as the executor returned it."""
