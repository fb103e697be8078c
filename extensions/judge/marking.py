"""A language model that marks answers by a written rubric, and the record of agreement with people by which its marks count."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from pydantic import ValidationError, WithJsonSchema

from extensions.judge.correction import Outcomes
from extensions.judge.settings import JudgeSettings
from extensions.structured.generating import REPLY_TOKENS, constrain, generate_object
from foundation.clock import Clock
from foundation.errors import ComponentError, InvalidSetting
from foundation.settings import Section
from models.contract import BaseChatModel, PriceSource
from models.pricing import call_of, identity
from orchestration.prompts.frames import as_data

BUNDLED = Path(__file__).with_name("rubric.md")
MARKS = ("faithfulness", "completeness")
# Minimum answers marked by people, since a few agree by luck, which their interval does not show; share with a verdict
FEWEST, MIN_VALID = 50, 0.95

Mark = Literal[1, 2, 3, 4]


class Verdict(Section):
    """Marks of an answer, by the rubric."""

    reason: Annotated[str, WithJsonSchema({"type": "string", "maxLength": 200})]
    """Comes first, so that the marks follow from it."""
    faithfulness: Mark
    completeness: Mark


class Agreement(Section):
    """Agreement of one mark with people's; `None` where it is undefined."""

    kappa: float | None
    low: float
    high: float
    exact: float
    people: float | None
    """Kappa between the people themselves."""
    outcomes: Outcomes | None = None
    """Who let an answer pass; `None` in a record from before they were counted."""

    def __str__(self) -> str:
        return f"{'undefined' if self.kappa is None else f'{self.kappa:.2f}'} [{self.low:.2f}, {self.high:.2f}]"


class Record(Section):
    """A judge's measured agreement with people, and the data behind it."""

    model: str
    rubric: str
    data: str
    n: int
    valid: float
    """Share of the answers for which it gave a verdict; other figures ignore the rest."""
    marks: dict[str, Agreement]
    measured_at: str
    made_of: Mapping[str, str] = {}
    """Everything else that the marks depend on, as it was at the measurement."""
    answered_as: tuple[str, ...] = ()
    """Distinct names of model and system in the replies."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The marks of a judge that count, and the reason why others do not."""

    trusted: tuple[str, ...]
    told: str


class Judge:
    """A chat model that marks answers, and the cost of its calls. Not safe for two tasks at a time."""

    def __init__(
        self,
        chat: BaseChatModel,
        rubric: str,
        prices: PriceSource,
        clock: Clock,
        made_of: Mapping[str, str] | None = None,
    ) -> None:
        self._chat, self._prices, self._clock, self._rubric = chat, prices, clock, rubric
        texts = [message.text for message in marks_of("rubric", "conversation", ["evidence"], "answer")]
        prompt = _digest(json.dumps([texts, Verdict.model_json_schema()], sort_keys=True))
        self.made_of = {"prompt": prompt, **(made_of or {})}
        self._costs: list[Decimal | None] = []
        self.answered_as: set[str] = set()
        """Distinct names of model and system in the replies so far."""
        self.failures: Counter[str] = Counter()
        """Number of answers without a verdict, by error code."""
        self.last_failure = ""

    @property
    def model(self) -> str:
        return "/".join(identity(self._chat))

    @property
    def rubric(self) -> str:
        """Digest of the rubric's text."""
        return _digest(self._rubric)

    @property
    def cost_usd(self) -> Decimal | None:
        """Cost of all calls so far; `None` if the price of a call is unknown."""
        priced = [cost for cost in self._costs if cost is not None]
        return sum(priced, Decimal(0)) if len(priced) == len(self._costs) else None

    async def verdict(self, conversation: str, evidence: Sequence[str], answer: str) -> Verdict | None:
        """Return the marks of an answer, or `None` where the model gave none; `failures` counts these."""
        try:
            return await generate_object(Verdict, marks_of(self._rubric, conversation, evidence, answer), self._ask)
        except ComponentError as error:
            self.failures[error.code] += 1
            self.last_failure = str(error)
            return None

    async def _ask(self, messages: Sequence[BaseMessage], schema: Mapping[str, Any]) -> AIMessage:
        started_s = self._clock.monotonic_s()
        reply = await constrain(self._chat, schema).ainvoke(list(messages), max_tokens=REPLY_TOKENS)
        seconds = self._clock.monotonic_s() - started_s
        labels = [reply.response_metadata.get(key) for key in ("model_name", "system_fingerprint")]
        self.answered_as.add(" ".join(str(label) for label in labels if label) or "nothing")
        self._costs.append(self._prices.price(call_of(self._chat, reply, seconds=seconds, at=self._clock.now())).usd)
        return reply


def marks_of(rubric: str, conversation: str, evidence: Sequence[str], answer: str) -> list[BaseMessage]:
    """Return the messages that ask a judge for the marks of `rubric`."""
    framed = "\n".join(f"<evidence>{as_data(text)}</evidence>" for text in evidence) or "<evidence></evidence>"
    marked = f"<conversation>{as_data(conversation)}</conversation>\n<answer>{as_data(answer)}</answer>"
    return [SystemMessage(rubric), HumanMessage(f"{framed}\n{marked}\nMark this answer.")]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def rubric_of(settings: JudgeSettings) -> str:
    """Read the rubric. Raises InvalidSetting: the file is missing or unreadable."""
    path = settings.rubric or BUNDLED
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"The rubric {path} cannot be read: {error}. Name a text file: [judge] rubric.") from error


def record_file(data_dir: Path, judge: Judge) -> Path:
    """Return the path of the record, one for each model and rubric."""
    return data_dir / "judges" / f"{_digest(f'{judge.model}{chr(0)}{judge.rubric}')}.json"


def record_of(data_dir: Path, judge: Judge) -> Record | None:
    """Return this judge's record, or `None`. Raises InvalidSetting: the file is no record."""
    path = record_file(data_dir, judge)
    try:
        return Record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise InvalidSetting(
            f"{path} is no record of a judge. Delete it and measure again: make judge-agreement DATA=folder"
        ) from error


def standing(judge: Judge, record: Record | None, settings: JudgeSettings) -> Standing:
    """Return which of its marks count under `[judge]`."""
    who = f"The judge {judge.model} with the rubric {judge.rubric}"
    why = _distrust(judge, record)
    if record is None or why:
        return Standing((), f"{who} is not trusted: {why}")
    trusted = tuple(name for name in MARKS if record.marks[name].low >= settings.min_agreement)
    agreements = "; ".join(f"{name} {mark}" for name, mark in record.marks.items())
    named = f"trusted for {' and '.join(trusted)}" if trusted else "not trusted"
    return Standing(
        trusted,
        f"{who} is {named}. Weighted kappa with people on "
        f"{record.n} answers of {record.data}: {agreements}. [judge] min_agreement wants a lower end of "
        f"{settings.min_agreement:g}.",
    )


def _distrust(judge: Judge, record: Record | None) -> str:
    again = "Do: make judge-agreement DATA=folder"
    if record is None:
        return f"nobody has measured whether it agrees with people. {again}"
    # other weights, endpoint, options or prompt: other marks
    if stale := sorted(dict(record.made_of.items() ^ judge.made_of.items())):
        return f"since it was measured at {record.measured_at}, other values have come for {', '.join(stale)}. {again}"
    # a vendor may exchange the model behind a name; its replies are all that reveals it
    if others := judge.answered_as - set(record.answered_as):
        return (
            f"its replies name {', '.join(sorted(others))} as their model, and when it was measured at {record.measured_at}, "
            f"{', '.join(record.answered_as) or 'nothing'}. {again}"
        )
    on = f"on {record.n} answers of {record.data}"
    if record.n < FEWEST:
        return f"it was measured {on}, and it takes {FEWEST}."
    if record.valid < MIN_VALID:
        return f"it gave a verdict for {record.valid:.2f} of the answers {on}, and it takes {MIN_VALID:g}."
    return ""
