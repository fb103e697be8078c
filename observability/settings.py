"""The section [observability]: exporters, and where there is one, evaluation."""

from pathlib import Path
from typing import Any

from pydantic import Field

from foundation.components import load_if_there
from foundation.settings import BESIDE_STACK, Part, Section

_evaluation = load_if_there("observability.evaluation_settings")
Sections: Any = _evaluation.EvaluationSections if _evaluation else Section


class ObservabilitySettings(Sections):  # type: ignore[misc]  # those of evaluation, where it is there
    exporters: tuple[Part, ...] = (Part(use="sqlite"),)
    capture_content: bool = False
    """Whether prompts and answers may enter spans. Off, as in OpenTelemetry."""
    service_name: str = "sixply"
    outcomes_file: Path = Field(default=Path("outcomes.toml"), json_schema_extra=BESIDE_STACK)
    golden_set: Path = Field(default=Path("examples/support_desk"), json_schema_extra=BESIDE_STACK)
    """Folder of `golden.jsonl`, the `corpus/` of its questions, and the gate's `baseline.json`."""
