"""A plan: the route and the steps by which a request is met, as a planner makes it and an answer tells it."""

from typing import Any, Literal

from pydantic import Field

from orchestration.requests import Noun

Route = Literal["answer", "look_up", "act", "several", "clarify", "refuse", "hand_over", "reply"]
Outcome = Literal["planned", "done", "failed", "skipped", "waiting"]


class PlanStep(Noun):
    """One thing to do: answer from the documents, look something up by a read tool, or act by an effect tool."""

    step_id: str
    kind: Literal["answer", "look_up", "act"]
    ask: str
    """The part of the request that the step serves, in the person's words."""
    tool: str = ""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Arguments of `tool`. A value `$1.order_id` stands for the field `order_id` of the result of step 1."""
    missing: tuple[str, ...] = ()
    """Required arguments that the person did not state, to be asked for."""
    after: tuple[str, ...] = ()
    """Ids of the steps that must be done before. Independent steps run in parallel."""
    outcome: Outcome = "planned"
    detail: str = ""


class Plan(Noun):
    """The route and steps by which a request is met, made from the person's words alone.

    `clarify`, `refuse`, `hand_over` (to a person) and `reply` (nothing was asked) end the run at once; only a `refuse` with a
    step goes to the executor, which has the refusal recorded.
    """

    route: Route
    steps: tuple[PlanStep, ...] = ()
    made_by: Literal["classifier", "model", "fixed"] = "fixed"
    reason: str = ""
    reply: str = ""
    changes: tuple[str, ...] = ()
    """Changes to the plan while it was carried out, and why."""
