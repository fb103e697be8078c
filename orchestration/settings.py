"""[orchestration]: which agent runs, what it may do, and how much it may spend."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat

from foundation.settings import BESIDE_STACK, Part, Section, one_of

# A wildcard in the policy: every role, tenant or name
EVERYBODY = "*"


class AnswerSettings(Section):
    compose: Literal["auto", "extractive", "generative"] = "auto"
    evidence_documents: int = Field(default=6, ge=1)
    """Number of documents whose sentences are considered, and that a model's search of the documents returns."""
    passages_per_document: int = Field(default=3, ge=1)
    """Number of passages considered in each of them, on average; a document that fits better has more."""
    max_question_characters: int = Field(default=8_000, ge=1)


# Such as `{ usd = 20, tokens = 5_000_000 }` for one day (UTC); what is not in it has no limit
DayLimits = Mapping[Annotated[str, one_of(("usd", "tokens"))], NonNegativeFloat]


class BudgetSettings(Section):
    """Limits of one request, and of the model calls of a day. Reserved before each call."""

    steps: int = Field(default=100, ge=1)
    tokens: int = Field(default=200_000, ge=1)
    usd: float = Field(default=0.5, ge=0)
    seconds: float = Field(default=60, gt=0)
    day: DayLimits = Field(default={})
    """Limits for a day (UTC) of all tenants together: `usd` and `tokens`."""
    tenant_day: DayLimits = Field(default={})
    """Those of each tenant."""
    tenants: dict[str, DayLimits] = Field(default_factory=dict)
    """Those of single tenants, by name, in place of `tenant_day`."""


class TenantRules(Section):
    """The most that a tenant may use, whatever the roles of its people allow. `*` in a name stands for anything."""

    tools: tuple[str, ...] = (EVERYBODY,)
    models: tuple[str, ...] = (EVERYBODY,)
    data: tuple[str, ...] = (EVERYBODY,)
    """Classes of documents by their full names; `*` alone: every class."""


class PolicySettings(Section):
    """Rules for tools, data and approvals, from the file that `[orchestration] policy_file` names."""

    roles: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Tools that each role may call. A tool in no list can be called by nobody."""
    data: dict[str, tuple[str, ...]] | None = None
    """Classes of documents that each role may see, besides those under `*`, which everybody may see; unset: everybody sees all."""
    tenants: dict[str, TenantRules] = Field(default_factory=dict)
    """Limits of each tenant; `*` holds for a tenant without a section of its own."""
    approvers: tuple[str, ...] = ("approver",)
    """Roles that may decide an approval, where the `approver` names no others."""
    approver: Part = Part(use="tiers")
    """The part that says of an effect who has to approve it. What it says nothing of, `approvers` decide."""
    four_eyes: bool = True
    """Whether nobody may approve an effect that they asked for themselves, with any key. Turn it off to work alone."""
    approval_expires_h: float = Field(default=24, gt=0)
    effects_without_approval: tuple[str, ...] = ()
    """Effects that need no approval when all their arguments are traced to the person's own words; others always do."""
    calls_per_run: int = Field(default=100, ge=1)
    """Tool calls allowed in one run, refused ones included. It ends a run that goes in circles."""


class PromptFolder(Section):
    folder: Path | None = Field(default=None, json_schema_extra=BESIDE_STACK)
    """A folder whose Markdown files replace those of the same name in `orchestration/prompts`."""


class PromptSettings(PromptFolder):
    tenants: dict[str, PromptFolder] = Field(default_factory=dict)
    """Folders of single tenants, by name; their files replace those of `folder`."""


class OrchestrationSettings(Section):
    agent: Part = Part(use="auto")
    checkpoints: Part = Part(use="sqlite")
    tools: tuple[Part, ...] = ()
    answers: AnswerSettings = AnswerSettings()
    prompts: PromptSettings = PromptSettings()
    budget: BudgetSettings = BudgetSettings()
    policy_file: Path | None = None
    """The file with the rules of `policy`, relative to stack.toml's folder; unset: `[orchestration.policy]` holds them."""
    policy: PolicySettings = PolicySettings()
