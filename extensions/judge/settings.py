"""[judge]: the check of each answer's meaning by the chat model, and the judge that marks evaluated answers."""

from pathlib import Path

from pydantic import Field

from foundation.settings import BESIDE_STACK, Part, Section

PROMPT = Path(__file__).with_name("judge.md")


class JudgeSettings(Section):
    each_answer: bool = True
    """Whether each answer is judged while it is given; off, evaluated answers alone are marked, by a judge that agrees with people."""
    prompt: Path | None = Field(default=None, json_schema_extra=BESIDE_STACK)
    """The file of its instructions, in place of `extensions/judge/judge.md`."""
    max_tokens: int = Field(default=4_000, ge=100)
    """Most tokens of its reply; a model that thinks first needs more."""
    statements: int = Field(default=100, ge=1)
    """Most statements of one answer that are judged; the answer says so where it has more."""
    chat: Part | None = None
    """Who marks evaluated answers: any part of `[models.chat]`; unset for none. It gets questions, answers and passages of the golden set."""
    rubric: Path | None = Field(default=None, json_schema_extra=BESIDE_STACK)
    """File of the rubric of those marks; unset for `extensions/judge/rubric.md`."""
    min_agreement: float = Field(default=0.4, ge=0, le=1)
    """Minimum, for each mark, of the lower end of the interval of its weighted kappa with people."""
