"""The section [observability]: exporters and evaluation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, NonNegativeFloat

from foundation.settings import BESIDE_STACK, Part, Section, one_of

# Shares allow an absolute loss: with 0.02, recall may fall from 0.90 to 0.88. Times, money and memory allow a relative
# one: with 0.25, an answer may take a quarter longer. `None`: shown, not judged.
ALLOWED: Mapping[str, float | None] = {
    "recall_at_10": 0.02,
    "ndcg_at_10": 0.02,
    "mrr_at_10": 0.03,
    "answer_contained": 0.03,
    "citation_precision": 0.03,
    "citation_recall": 0.03,
    "refused": 0.05,
    "tool_right": 0.05,
    "passed": 0.03,
    "leaked": 0.0,
    "answer_p50_ms": 0.25,
    "answer_p95_ms": None,
    "search_p50_ms": 1.0,
    "search_p95_ms": None,
    "usd_per_answer": 0.25,
    "usd_per_correct_answer": None,
    "peak_rss_mb": 0.5,
}
Losses = Mapping[Annotated[str, one_of(ALLOWED)], NonNegativeFloat | None]


class ObservabilitySettings(Section):
    compare: Annotated[Losses, AfterValidator(lambda given: {**ALLOWED, **given})] = ALLOWED
    """Largest allowed losses, by figure: scores at the gate; times, money and memory where two systems are compared, too."""
    exporters: tuple[Part, ...] = (Part(use="sqlite"),)
    capture_content: bool = False
    """Whether prompts and answers may enter spans. Off, as in OpenTelemetry."""
    service_name: str = "sixply"
    outcomes_file: Path = Field(default=Path("outcomes.toml"), json_schema_extra=BESIDE_STACK)
    golden_set: Path = Field(default=Path("golden"), json_schema_extra=BESIDE_STACK)
    """Folder of `golden.jsonl`, the `corpus/` of its questions, and the gate's `baseline.json`."""
