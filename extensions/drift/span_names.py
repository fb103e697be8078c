"""What the span of a scored answer says, beside what reports read."""

from typing import Final

EVALUATION_ERROR: Final = "sixply.evaluation.error"
