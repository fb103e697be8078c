"""[judge]: the check of meaning by the chat model."""

from pathlib import Path

from pydantic import Field

from foundation.settings import BESIDE_STACK, Section

PROMPT = Path(__file__).with_name("judge.md")


class JudgeSettings(Section):
    prompt: Path | None = Field(default=None, json_schema_extra=BESIDE_STACK)
    """The file of its instructions, in place of `extensions/judge/judge.md`."""
    max_tokens: int = Field(default=4_000, ge=100)
    """Most tokens of its reply; a model that thinks first needs more."""
    statements: int = Field(default=100, ge=1)
    """Most statements of one answer that are judged; the answer says so where it has more."""
