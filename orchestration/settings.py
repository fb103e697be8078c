"""[orchestration]: which agent runs, what it may do, and how much it may spend."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from foundation.settings import Part, Section

EVERYBODY = "*"
"""In the policy: every role, every tenant, every name."""


class AnswerSettings(Section):
    compose: Literal["auto", "extractive", "generative"] = "auto"
    rewrites: int = Field(default=1, ge=0, le=5)
    evidence: int = Field(default=6, ge=1)
    """Documents whose sentences are looked at."""
    passages: int = Field(default=3, ge=1)
    """Passages of each of them."""
    max_question_characters: int = Field(default=8_000, ge=1)


class DayLimits(Section):
    """Of one day (UTC); unset, there is no limit."""

    usd: float | None = Field(default=None, ge=0)
    tokens: int | None = Field(default=None, ge=0)


class BudgetSettings(Section):
    """What one request may use up, and what its model calls may cost in a day. Reserved before each call."""

    steps: int = Field(default=100, ge=1)
    tokens: int = Field(default=200_000, ge=1)
    usd: float = Field(default=0.5, ge=0)
    seconds: float = Field(default=60, gt=0)
    day: DayLimits = DayLimits()
    """For all tenants together."""
    tenant_day: DayLimits = DayLimits()
    """For each tenant."""
    tenants: dict[str, DayLimits] = Field(default_factory=dict)
    """For a tenant by its name, instead of `tenant_day`."""
    warn_share: float = Field(default=0.8, gt=0, le=1)
    """Of a day's limit: from here on the log warns, once a day for each, and `sixply_budget_used_share` is to alert."""


class TenantRules(Section):
    """What a tenant may use at most, whatever its people's roles give them. `*` in a name stands for anything."""

    tools: tuple[str, ...] = (EVERYBODY,)
    models: tuple[str, ...] = (EVERYBODY,)
    data: tuple[str, ...] = (EVERYBODY,)
    """Classes of documents, by their whole names; "*" alone: every class."""


class PolicySettings(Section):
    """The rules, which stand in the file that `[orchestration] policy_file` names. `make policy` explains them."""

    roles: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Tools that each role may call. A tool in no list can be called by nobody."""
    data: dict[str, tuple[str, ...]] = Field(default={EVERYBODY: (EVERYBODY,)})
    """Classes of documents that each role may see, besides those under "*", which everybody may."""
    tenants: dict[str, TenantRules] = Field(default_factory=dict)
    """Those of a tenant without a section of its own stand under "*"."""
    approvers: tuple[str, ...] = ("approver",)
    """Roles that may decide an approval."""
    four_eyes: bool = True
    """Nobody approves what they asked for themselves, whichever of their keys they use: another person has to. Off for
    somebody who works alone; `make doctor` then warns."""
    approval_expires_h: float = Field(default=24, gt=0)
    unasked: tuple[str, ...] = ()
    """Effects that need no approval where everything that steers them is traced to the person's own words.
    Every other effect always needs one."""
    calls_per_run: int = Field(default=100, ge=1)
    """Tool calls of one run, refused ones included: a run that goes in circles ends here."""


class PromptFolder(Section):
    folder: Path | None = None
    """Each Markdown file in it stands in the place of the one of `orchestration/prompts` that has its name."""


class PromptSettings(PromptFolder):
    tenants: dict[str, PromptFolder] = Field(default_factory=dict)
    """For a tenant by its name, over those of `folder`."""


class CascadeSettings(Section):
    up_below: float = Field(default=0.6, ge=0)
    """Answers of a model of `[models.cheaper]` with less confidence are not taken: `make model-frontier` fits it."""


class OrchestrationSettings(Section):
    agent: Part = Part(use="auto")
    cascade: CascadeSettings = CascadeSettings()
    planner: Part = Part(use="classifier")
    """Who plans. Where another one than the classifier fails, the classifier plans, and the answer says so."""
    checkpoints: Part = Part(use="sqlite")
    notifier: Part = Part(use="log")
    """Where people are told that an approval waits for them."""
    approval_link: str = ""
    """What a notice links to, such as `https://desk.example.com/#/approvals/{approval_id}`; empty: nothing."""
    tools: tuple[Part, ...] = ()
    answers: AnswerSettings = AnswerSettings()
    prompts: PromptSettings = PromptSettings()
    budget: BudgetSettings = BudgetSettings()
    policy_file: Path | None = None
    """Where the rules of `policy` stand, from the folder of stack.toml; without one, below `[orchestration.policy]`."""
    policy: PolicySettings = PolicySettings()
