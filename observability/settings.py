"""The section [observability]: exporters, evaluation, and the outcome contract."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from foundation.settings import Part, Section


class CompareSettings(Section):
    """Largest allowed losses of a swap, by figure of `sixply swap-report`. Figures without one are shown, not judged.

    Shares allow an absolute loss: with 0.02, recall may fall from 0.90 to 0.88. Times, money and memory allow a
    relative one: with 0.25, an answer may take a quarter longer.
    """

    recall_at_10: float | None = Field(default=0.02, ge=0)
    ndcg_at_10: float | None = Field(default=0.02, ge=0)
    mrr_at_10: float | None = Field(default=0.03, ge=0)
    answer_contained: float | None = Field(default=0.03, ge=0)
    citation_precision: float | None = Field(default=0.03, ge=0)
    citation_recall: float | None = Field(default=0.03, ge=0)
    refused: float | None = Field(default=0.05, ge=0)
    tool_right: float | None = Field(default=0.05, ge=0)
    passed: float | None = Field(default=0.03, ge=0)
    leaked: float | None = Field(default=0.0, ge=0)
    answer_p50_ms: float | None = Field(default=0.25, ge=0)
    answer_p95_ms: float | None = Field(default=None, ge=0)
    search_p50_ms: float | None = Field(default=1.0, ge=0)
    search_p95_ms: float | None = Field(default=None, ge=0)
    usd_per_answer: float | None = Field(default=0.25, ge=0)
    usd_per_correct_answer: float | None = Field(default=None, ge=0)
    peak_rss_mb: float | None = Field(default=0.5, ge=0)


class JudgeSettings(Section):
    """A language model that marks answers in `make evaluate`, once it has proven to agree with people (`make
    judge-agreement`).
    """

    chat: Part | None = None
    """Judge: any part of `[models.chat]`; unset for none. It gets questions, answers and passages of the golden set."""
    rubric: Path | None = None
    """File of the rubric; unset for the bundled `observability/evaluation/rubric.md`."""
    min_agreement: float = Field(default=0.4, ge=0, le=1)
    """Minimum, for each mark, of the lower end of the interval of its weighted kappa with people."""
    min_valid: float = Field(default=0.95, ge=0, le=1)
    """Minimum share of the answers for which it gave a verdict."""


class ObservabilitySettings(Section):
    compare: CompareSettings = CompareSettings()
    exporters: tuple[Part, ...] = (Part(use="sqlite"),)
    capture_content: bool = False
    """Whether prompts and answers may enter spans. Off, as in OpenTelemetry."""
    scored_share: float = Field(default=1.0, ge=0, le=1)
    """Share of the answers that are scored in production (`observability/evaluation/online.py`), for `make drift`."""
    judge: JudgeSettings = JudgeSettings()
    service_name: str = "sixply"
    outcomes_file: Path = Path("outcomes.toml")
    golden_set: Path = Path("examples/support_desk")
    """Folder of `golden.jsonl`, the `corpus/` of its questions, and the gate's `baseline.json`."""
