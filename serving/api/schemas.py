"""What goes over the wire, where it is not a noun of a lower layer already. (Never called models: that is layer 2.)"""

from __future__ import annotations

from dataclasses import fields
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    StringConstraints,
    Tag,
)

from foundation.kill_switches import Stop
from foundation.types import Usage
from observability.stores.costs import Total
from observability.stores.outcomes import Outcome, Verdict
from orchestration.answers.objects import ObjectAnswer
from orchestration.contract import Approval, Conversation, Fact, Turn
from retrieval import filters as where
from retrieval.contract import Citation, Document, Hit, Refusal
from retrieval.ingest.pipeline import IngestReport
from serving.jobs.queue import Job, JobItem


def _storable(text: str) -> str:
    """Databases end a text at NUL, and a lone surrogate, which JSON can spell, has no UTF-8."""
    try:
        text.encode()  # on the event loop, for megabytes of history: no loop over characters
    except UnicodeEncodeError:
        storable = False
    else:
        storable = "\0" not in text
    if not storable:
        raise ValueError("must not contain NUL or lone surrogate characters")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


Text = Annotated[str, AfterValidator(_storable)]
Question = Annotated[Text, AfterValidator(_not_blank)]
Name = Annotated[Text, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:\-]{1,128}$")]

AnswerId = Annotated[Identifier, Field(examples=["a-1"])]
ApprovalId = Annotated[Identifier, Field(examples=["ap-1"])]
FactId = Annotated[Identifier, Field(examples=["fact-1"])]
DocumentId = Annotated[Identifier, Field(examples=["doc-1"])]
JobId = Annotated[Identifier, Field(examples=["job-1"])]
ThreadId = Annotated[Identifier, Field(examples=["t-1"])]


class Request(BaseModel):
    """A request body; a member that we do not know is an error, not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AskRequest(Request):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"question": "How long is the warranty of the QP-5?"},
                {"question": "When does it ship?", "compose": "extractive", "max_usd": 0.01},
                {"question": "How long did the warranty last?", "as_of": "2025-01-31"},
            ]
        }
    )

    question: Question
    thread_id: Identifier | None = Field(default=None, description="Continues a conversation of yours.")
    compose: Literal["auto", "extractive", "generative"] | None = None
    max_usd: float | None = Field(default=None, ge=0, description="Stop before this answer costs more.")
    as_of: date | None = Field(default=None, description="From the versions in force on that day; today if absent.")


class ObjectRequest(Request):
    question: Question = Field(examples=["Which order is this about?"])
    shape: dict[str, JsonValue] = Field(
        alias="schema",
        description="The JSON schema of an object; describe its fields, since that is how they are found.",
        examples=[
            {
                "type": "object",
                "properties": {"quantity": {"type": "integer", "description": "how many devices were ordered"}},
                "required": ["quantity"],
            }
        ],
    )
    text: Annotated[Text, StringConstraints(max_length=20_000)] | None = Field(
        default=None, description="Where to read it from; absent: the documents that you may read."
    )


class ObjectReply(BaseModel):
    """Either `object` or `failure` is there."""

    answer_id: str
    object: JsonValue = None
    failure: Literal["insufficient_evidence", "budget", "model"] | None
    told: str
    """Why it failed, fit for a person."""
    read: tuple[str, ...]
    written: tuple[str, ...]
    citations: tuple[Citation, ...]
    degraded: tuple[str, ...]
    """What was worse than configured or is to be read with care."""
    usage: Usage
    cost_usd: Decimal | None
    seconds: float
    trace_id: str | None

    @classmethod
    def of(cls, answer: ObjectAnswer[Any]) -> ObjectReply:
        content = answer.object.model_dump(mode="json") if answer.object is not None else None
        content_fields = {field.name: getattr(answer, field.name) for field in fields(answer) if field.name != "object"}
        return cls(object=content, **content_fields)


Known = bool | float | Annotated[Text, StringConstraints(max_length=2000)]
"""What can be known of a document. A text such as 2026-01-15 is a day."""


class StopRequest(Request):
    why: Text = Field(min_length=1, max_length=500, examples=["Refunds go out twice; we are looking."])


class StopList(BaseModel):
    stops: list[Stop]
    notes: list[str] = []
    """What is in force and could not be written everywhere yet."""


class IsIn(Request):
    key: Name
    values: list[Known] = Field(fail_fast=True, alias="in", min_length=1, max_length=500)

    def filter(self) -> where.Where:
        return where.OneOf(self.key, tuple(where.parse_value(value) for value in self.values))


class IsBetween(Request):
    key: Name
    low: Known | None = Field(default=None, alias="from")
    high: Known | None = Field(default=None, alias="to")

    def filter(self) -> where.Where:
        ends = (None if end is None else where.parse_value(end) for end in (self.low, self.high))
        return where.Between(self.key, *ends)


class Both(Request):
    parts: list[Filter] = Field(fail_fast=True, alias="all", min_length=1, max_length=50)

    def filter(self) -> where.Where:
        return where.AllOf(tuple(part.filter() for part in self.parts))


class EitherOf(Request):
    parts: list[Filter] = Field(fail_fast=True, alias="any", min_length=1, max_length=50)

    def filter(self) -> where.Where:
        return where.AnyOf(tuple(part.filter() for part in self.parts))


def _condition_kind(condition: Any) -> str:
    """Which of the four it is meant to be. Trying all of them costs seconds where a large filter is wrong."""
    members = condition if isinstance(condition, dict) else {}
    return next((f"condition[{name}]" for name in ("all", "any", "in") if name in members), "condition[from]")


Filter = Annotated[
    Annotated[IsIn, Tag("condition[in]")]
    | Annotated[IsBetween, Tag("condition[from]")]
    | Annotated[Both, Tag("condition[all]")]
    | Annotated[EitherOf, Tag("condition[any]")],
    Discriminator(_condition_kind),
]

CONDITIONS, VALUES = 100, 1000
"""At most so many in one filter: a database refuses an expression that is too deep, and would seem to have failed."""


def _check_size(chosen: Any) -> Any:
    """Count before anything is built: of a filter that is refused, nothing is."""
    conditions = values = 0
    waiting = [chosen]
    while waiting:
        condition = waiting.pop()
        parts = [condition.get(name) for name in ("all", "any")] if isinstance(condition, dict) else []
        if any(isinstance(part, list) for part in parts):
            waiting += [inner for part in parts if isinstance(part, list) for inner in part]
        else:
            conditions += 1
            listed = condition.get("in") if isinstance(condition, dict) else None
            values += len(listed) if isinstance(listed, list) else 0
    if conditions > CONDITIONS or values > VALUES:
        raise ValueError(
            f"must have at most {CONDITIONS} conditions and {VALUES:,} values; has {conditions:,} and {values:,}"
        )
    return chosen


class SearchRequest(Request):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": "warranty", "limit": 5},
                {
                    "query": "ships",
                    "where": {"all": [{"key": "product", "in": ["QL-20"]}, {"key": "published", "from": "2026-01-01"}]},
                },
            ]
        }
    )

    query: Question
    limit: int = Field(default=10, ge=1, le=100)
    as_of: date | None = Field(default=None, description="Versions in force on that day; today if absent.")
    where: Annotated[Filter, BeforeValidator(_check_size)] | None = Field(
        default=None,
        description="Only documents of which this is known: their fields, and the attributes they were added with. At most "
        f"{CONDITIONS} conditions with {VALUES:,} values.",
        examples=[{"all": [{"key": "product", "in": ["QL-20"]}, {"key": "published", "from": "2026-01-01"}]}],
    )


class DecisionRequest(Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"approve": True, "note": "checked"}]})

    approve: bool
    note: Annotated[Text, StringConstraints(max_length=2000)] = ""
    arguments: dict[str, JsonValue] | None = Field(
        default=None, description="All arguments of the call to approve instead of the one that was asked for."
    )


Minutes = Annotated[float, Field(ge=0, le=100_000, description="That a person spent on the case.", examples=[4])]
Note = Annotated[Question, StringConstraints(max_length=20_000)]


class Accepted(Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"verdict": "accepted", "minutes": 1}]})

    verdict: Literal["accepted"]
    minutes: Minutes | None = None

    @property
    def note(self) -> str:
        return ""


class Edited(Request):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"verdict": "edited", "edit": "It ships on Tuesdays.", "minutes": 2}]}
    )

    verdict: Literal["edited"]
    edit: Note = Field(description="The text that was used instead.")
    minutes: Minutes | None = None

    @property
    def note(self) -> str:
        return self.edit


class Rejected(Request):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"verdict": "rejected", "reason": "It cites last year's price list."}]}
    )

    verdict: Literal["rejected"]
    reason: Note = Field(description="What was wrong with it.")
    minutes: Minutes | None = None

    @property
    def note(self) -> str:
        return self.reason


class Escalated(Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"verdict": "escalated", "minutes": 10}]})

    verdict: Literal["escalated"]
    reason: Note | None = None
    minutes: Minutes | None = None

    @property
    def note(self) -> str:
        return self.reason or ""


Feedback = Annotated[Accepted | Edited | Rejected | Escalated, Field(discriminator="verdict")]
"""What became of an answer."""


class FeedbackGiven(BaseModel):
    """Feedback as it is kept: personal data is gone from `note`, the edited text or the reason."""

    answer_id: str
    verdict: Verdict
    minutes: float | None
    note: str
    recorded_by: str
    at: datetime

    @classmethod
    def of(cls, outcome: Outcome) -> FeedbackGiven:
        return cls(**{name: getattr(outcome, name) for name in cls.model_fields})


class FeedbackList(BaseModel):
    feedback: list[FeedbackGiven]
    next_cursor: str | None


class ConversationList(BaseModel):
    conversations: list[Conversation]
    next_cursor: str | None


class ConversationTurns(BaseModel):
    thread_id: str
    turns: list[Turn]
    next_cursor: str | None


class BatchRequest(Request):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"questions": [{"question": "When does it ship?"}, {"question": "When not?"}]}]}
    )

    questions: list[AskRequest] = Field(fail_fast=True, min_length=1, max_length=200)


class JobStatus(BaseModel):
    job_id: str
    kind: Literal["ingest", "answers"]
    status: Literal["running", "done", "cancelled", "revoked"]
    """`running` also while it waits for its turn, or for a kill switch to be lifted; `revoked`: the credential that began it
    counts no more, or no longer allows it."""
    begun_at: datetime
    total: int
    done: int
    failed: int

    @classmethod
    def of(cls, job: Job) -> JobStatus:
        return cls(**{name: getattr(job, name) for name in cls.model_fields})


class JobList(BaseModel):
    jobs: list[JobStatus]
    next_cursor: str | None


class JobProgress(BaseModel):
    number: int
    name: str
    """The file or the question."""
    status: Literal["waiting", "done", "failed"]
    outcome: dict[str, Any] | None
    """Of a `done` item the document or the answer, as their routes give them; of a `failed` one `code`, `detail` and
    `retryable`, of a refused document its `reason`, too."""

    @classmethod
    def of(cls, item: JobItem) -> JobProgress:
        return cls(**{name: getattr(item, name) for name in cls.model_fields})


class JobDetail(BaseModel):
    job: JobStatus
    items: list[JobProgress]
    next_cursor: str | None


class UsageRow(BaseModel):
    """What was used under one key: a day, a model, a kind of work, or the tenant."""

    key: str
    usd: Decimal
    """A decimal in a string; of the calls whose price is known."""
    unpriced: int
    """Calls whose price is not: with any, `usd` is a lower bound."""
    calls: int
    seconds: float
    input_tokens: int
    output_tokens: int

    @classmethod
    def of(cls, total: Total) -> UsageRow:
        return cls(**{name: getattr(total, name) for name in cls.model_fields})

    @classmethod
    def nothing(cls, key: str) -> UsageRow:
        return cls(key=key, usd=Decimal(0), unpriced=0, calls=0, seconds=0.0, input_tokens=0, output_tokens=0)


class UsageReport(BaseModel):
    since: datetime
    subject: str | None
    """Whose it is; `null`: everybody's in the tenant."""
    total: UsageRow
    by_day: list[UsageRow]
    by_model: list[UsageRow]
    """The model is empty where none was called: the machine's own time, answers given again."""
    by_kind: list[UsageRow]


class SearchHit(BaseModel):
    """A passage with its score, which orders the hits of one search only, and each leg's rank."""

    score: float
    legs: dict[str, int]
    heading_path: tuple[str, ...]
    citation: Citation

    @classmethod
    def of(cls, hit: Hit, *, marker: int) -> SearchHit:
        chunk, source = hit.chunk, hit.source
        citation = Citation(
            marker=marker,
            document_id=chunk.document_id,
            chunk_id=chunk.chunk_id,
            uri=source.uri,
            title=source.title,
            start=chunk.start,
            end=chunk.end,
            quote=chunk.text,
            page=chunk.page,
        )
        return cls(score=hit.score, legs=dict(hit.legs), heading_path=chunk.heading_path, citation=citation)


class SearchResult(BaseModel):
    hits: list[SearchHit]
    trace_id: str | None


class DocumentSummary(BaseModel):
    document_id: str
    uri: str
    title: str
    tenant: str
    groups: list[str]
    media_type: str
    series: str | None
    effective_from: date | None
    published: date | None
    characters: int
    chunks: int
    ingested_at: datetime
    superseded: bool

    @classmethod
    def of(cls, document: Document) -> DocumentSummary:
        source = document.source
        return cls(
            document_id=document.document_id,
            uri=source.uri,
            title=source.title,
            tenant=source.tenant,
            groups=sorted(source.groups),
            media_type=source.media_type,
            series=source.series,
            effective_from=source.effective_from,
            published=source.published,
            characters=document.characters,
            chunks=document.chunks,
            ingested_at=document.ingested_at,
            superseded=document.superseded,
        )


class DocumentList(BaseModel):
    documents: list[DocumentSummary]
    refusals: list[Refusal]
    """What could not be taken, and why; after the documents, in the same pages."""
    next_cursor: str | None


class RetryReport(BaseModel):
    added: int
    replaced: int
    refused: list[Refusal]
    """What was refused once more."""

    @classmethod
    def of(cls, report: IngestReport) -> RetryReport:
        return cls(added=report.added, replaced=report.replaced, refused=list(report.refused))


class DocumentText(BaseModel):
    document: DocumentSummary
    start: int
    end: int
    text: str
    """Exactly the characters from `start` to `end` of the document, as citations count them."""


class FactText(Request):
    text: Text = Field(min_length=1, max_length=300, examples=["Our printers are all QL-20W."])


class FactList(BaseModel):
    facts: list[Fact]
    next_cursor: str | None


class ApprovalList(BaseModel):
    approvals: list[Approval]
    next_cursor: str | None


class Ready(BaseModel):
    ready: bool
    reasons: list[str]
    """Why not, a part each; empty when ready."""


# OpenAI's and Anthropic's shapes, as far as we serve them. `speaker` tells who says a message, "tool" for a tool's result.


class TextPart(BaseModel):
    type: Literal["text"]
    text: Text


class ChatMessage(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | Annotated[list[TextPart], Field(fail_fast=True)] | None = None

    @property
    def speaker(self) -> str:
        return self.role

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content or ())


class StreamOptions(BaseModel):
    include_usage: bool = False


class ChatMetadata(BaseModel):
    """Clients may keep notes of their own in it; only `thread_id` is read."""

    model_config = ConfigDict(extra="allow", frozen=True)

    thread_id: Identifier | None = Field(default=None, description="Continues a conversation of yours.")


class ChatRequest(BaseModel):
    """Parameters that are not listed here are refused when they ask for something; see `docs/api.md`."""

    model_config = ConfigDict(
        extra="allow",
        frozen=True,
        json_schema_extra={
            "examples": [{"model": "sixply", "messages": [{"role": "user", "content": "When does it ship?"}]}]
        },
    )

    model: Text
    messages: list[ChatMessage] = Field(fail_fast=True, min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    metadata: ChatMetadata | None = None


class ChatUsage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatReply(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: str | None = None


class ChatChoice(BaseModel):
    index: int = 0
    message: ChatReply
    finish_reason: Literal["stop"] = "stop"


class ChatCompletion(BaseModel):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: ChatUsage | None = None
    """`null` where the provider did not say, which is not zero."""
    sixply: dict[str, Any]
    """What OpenAI's shape has no place for: citations, status, path, cost, trace id."""


class InputPart(BaseModel):
    type: Literal["input_text", "output_text"]
    text: Text


class InputMessage(BaseModel):
    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[InputPart], Field(fail_fast=True)]

    @property
    def speaker(self) -> str:
        return self.role

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)


class InputItem(BaseModel):
    """What clients send back of earlier responses; it is not read."""

    type: Literal["function_call", "function_call_output", "item_reference", "reasoning"]

    @property
    def speaker(self) -> str:
        return "tool" if self.type == "function_call_output" else "assistant"

    @property
    def text(self) -> str:
        return ""


class ConversationName(Request):
    id: Identifier


class ResponsesRequest(BaseModel):
    """Parameters that are not listed here are refused when they ask for something; see `docs/api.md`."""

    model_config = ConfigDict(
        extra="allow",
        frozen=True,
        json_schema_extra={"examples": [{"model": "sixply", "input": "When does it ship?"}]},
    )

    model: Text
    input: Text | Annotated[list[InputMessage | InputItem], Field(fail_fast=True, min_length=1)]
    stream: bool = False
    previous_response_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:\-]{1,300}$")] | None = Field(
        default=None, description="Continues the conversation that this response belongs to."
    )
    conversation: Identifier | ConversationName | None = Field(
        default=None, description="Continues a conversation of yours."
    )
    metadata: ChatMetadata | None = None

    @property
    def messages(self) -> list[InputMessage | InputItem]:
        if isinstance(self.input, str):
            return [InputMessage(role="user", content=self.input)]
        return self.input


class ResponseContent(BaseModel):
    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[dict[str, Any]]
    """A `file_citation` for each marker in the text."""
    logprobs: list[Any] = []


class ResponseOutput(BaseModel):
    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    status: Literal["completed"] = "completed"
    content: list[ResponseContent]


class InputTokenDetails(BaseModel):
    cached_tokens: int
    cache_write_tokens: int = 0


class OutputTokenDetails(BaseModel):
    reasoning_tokens: int


class ResponseUsage(BaseModel):
    input_tokens: int
    input_tokens_details: InputTokenDetails
    output_tokens: int
    output_tokens_details: OutputTokenDetails
    total_tokens: int


class ResponseReply(BaseModel):
    """OpenAI's `response` object. Members for what is not done here say so."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: Literal["completed"] = "completed"
    model: str
    output: list[ResponseOutput]
    usage: ResponseUsage | None
    """`null` where the provider did not say, which is not zero."""
    previous_response_id: str | None
    metadata: dict[str, Any]
    error: None = None
    incomplete_details: None = None
    instructions: None = None
    parallel_tool_calls: Literal[False] = False
    temperature: None = None
    tool_choice: Literal["none"] = "none"
    tools: list[Any] = []
    top_p: None = None
    sixply: dict[str, Any]
    """What OpenAI's shape has no place for: status, path, cost, trace id."""


class MessagePart(BaseModel):
    """What clients send back of earlier messages; it is not read."""

    type: Literal["redacted_thinking", "thinking", "tool_result", "tool_use"]


class MessageParam(BaseModel):
    role: Literal["user", "assistant"]
    content: Text | Annotated[list[TextPart | MessagePart], Field(fail_fast=True)]

    @property
    def speaker(self) -> str:
        parts = () if isinstance(self.content, str) else self.content
        return "tool" if any(part.type == "tool_result" for part in parts) else self.role

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))


class MessagesRequest(BaseModel):
    """Parameters that are not listed here are refused when they ask for something; see `docs/api.md`."""

    model_config = ConfigDict(
        extra="allow",
        frozen=True,
        json_schema_extra={
            "examples": [
                {"model": "sixply", "max_tokens": 1024, "messages": [{"role": "user", "content": "When does it ship?"}]}
            ]
        },
    )

    model: Text
    messages: list[MessageParam] = Field(fail_fast=True, min_length=1)
    stream: bool = False
    metadata: ChatMetadata | None = None


class MessageContent(BaseModel):
    type: Literal["text"] = "text"
    text: str
    citations: list[dict[str, Any]] | None
    """A `char_location` for each source."""


class MessageUsage(BaseModel):
    """`null` where the provider did not say, which is not zero."""

    input_tokens: int | None
    output_tokens: int | None
    cache_read_input_tokens: int | None
    cache_creation_input_tokens: None = None


class MessageReply(BaseModel):
    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[MessageContent]
    stop_reason: Literal["end_turn"] = "end_turn"
    stop_sequence: None = None
    usage: MessageUsage
    sixply: dict[str, Any]
    """What Anthropic's shape has no place for: status, path, cost, trace id."""


class ModelCard(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "sixply"


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelCard]
