"""[observability]: where spans go, what is judged, and by which contract."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from foundation.settings import Part, Section


class CompareSettings(Section):
    """The largest loss that a swap may bring, by figure of `sixply swap-report`. Without one it is shown and not judged.

    Of shares an absolute loss: 0.02 lets recall fall from 0.90 to 0.88. Of times, money and memory a share of what it
    was: 0.25 lets an answer take a quarter longer.
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
    """A language model that marks answers in `make evaluate`, as far as it has proven to agree with people
    (`make judge-agreement`)."""

    chat: Part | None = None
    """Any part of `[models.chat]`. It is sent questions, answers and passages of the golden set. Unset: nothing is judged."""
    rubric: Path | None = None
    """What it marks by; unset, the bundled `observability/evaluation/rubric.md`."""
    min_agreement: float = Field(default=0.4, ge=0, le=1)
    """What the lower end of the interval of its weighted kappa with people must reach, mark by mark."""
    min_valid: float = Field(default=0.95, ge=0, le=1)
    """Share of the answers for which it must have given a verdict at all."""


class ObservabilitySettings(Section):
    compare: CompareSettings = CompareSettings()
    exporters: tuple[Part, ...] = (Part(use="sqlite"),)
    capture_content: bool = False
    """Whether prompts and answers may enter spans. Off, as OpenTelemetry has it."""
    scored_share: float = Field(default=1.0, ge=0, le=1)
    """Share of the answers that are scored as they are given (`observability/evaluation/online.py`); `make drift` compares the weeks."""
    judge: JudgeSettings = JudgeSettings()
    service_name: str = "sixply"
    outcomes_file: Path = Path("outcomes.toml")
    golden_set: Path = Path("examples/support_desk")
    """A folder with `golden.jsonl`, the `corpus/` that its questions are about, and the gate's `baseline.json`."""
