"""A run of a planned agent: beside what every run has, the plan, what was found for it, and what came of its steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from extensions.planned_agent.plan import Plan
from orchestration.run.run import Run

if TYPE_CHECKING:
    from extensions.planned_agent.compose import Draft
    from orchestration.run.state import Result
    from retrieval.documents import Hit
    from retrieval.grounding.citing import Evidence


@dataclass(kw_only=True, eq=False)
class PlannedRun(Run):
    hits: list[Hit] | None = None
    evidence: list[Evidence] | None = None
    question: str = ""
    """The query that `evidence` was judged against."""
    draft: Draft | None = None
    plan: Plan | None = None
    results: dict[str, Result] = field(default_factory=dict)
    """Results of the steps that are done, by step id; they are the answer where a budget ends the run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        stored = self.state.get("plan")
        self.plan = self.plan or (Plan(**stored) if stored else None)  # type: ignore[arg-type]
