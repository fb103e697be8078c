"""The section [observability]: exporters and evaluation."""

from pathlib import Path

from pydantic import Field

from foundation.settings import BESIDE_STACK, Part
from observability.evaluation_settings import EvaluationSections


class ObservabilitySettings(EvaluationSections):
    exporters: tuple[Part, ...] = (Part(use="sqlite"),)
    capture_content: bool = False
    """Whether prompts and answers may enter spans. Off, as in OpenTelemetry."""
    service_name: str = "sixply"
    outcomes_file: Path = Field(default=Path("outcomes.toml"), json_schema_extra=BESIDE_STACK)
    golden_set: Path = Field(default=Path("golden"), json_schema_extra=BESIDE_STACK)
    """Folder of `golden.jsonl`, the `corpus/` of its questions, and the gate's `baseline.json`."""
