"""All telemetry names that Sixply emits, by OpenTelemetry's GenAI conventions (v0.1.0) as far as those go; no other module of the core spells one, and
an extension has its own in `span_names.py`.
"""

from typing import Final

SERVICE: Final = "sixply"
"""Name of our tracer, and namespace of our attributes and metrics."""

TITLE: Final = "Sixply"
"""Name of the system as shown to people."""

# Operations: the first word of a span's name, and the value of gen_ai.operation.name where it is one of `OPERATIONS`.
CHAT: Final = "chat"
EMBEDDINGS: Final = "embeddings"
RERANK: Final = "rerank"
ENTAILMENT: Final = "entailment"
RETRIEVAL: Final = "retrieval"
INVOKE_AGENT: Final = "invoke_agent"
INVOKE_WORKFLOW: Final = "invoke_workflow"
EXECUTE_TOOL: Final = "execute_tool"
PLAN: Final = "plan"
INGEST: Final = "ingest"
OPERATIONS: Final = frozenset({CHAT, EMBEDDINGS, RETRIEVAL, INVOKE_AGENT, INVOKE_WORKFLOW, EXECUTE_TOOL, PLAN})
"""Operations that the conventions define. Our other steps have a name and a layer, but no value under the conventions' attribute."""

# Attributes of the conventions.
OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
AGENT_NAME: Final = "gen_ai.agent.name"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
ERROR_TYPE: Final = "error.type"
SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
USER_HASH: Final = "user.hash"
"""Hash of the person that a span belongs to (`foundation.stores.erasures.mark_of`), by which their spans are found and erased."""

# Attributes and event fields of the conventions, of this and of earlier revisions, that hold what people or documents said.
# With content off (the default) they are removed from every span before any exporter sees it.
# tests/architecture/test_conventions.py compares them with the warnings in the registry.
CONTENT: Final = (
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.tool.definitions",
    "gen_ai.retrieval.query.text",
    "gen_ai.retrieval.documents",
    "gen_ai.prompt.variable.",
    "gen_ai.memory.query.text",
    "gen_ai.memory.records",
    "gen_ai.evaluation.explanation",
    "gen_ai.prompt",
    "gen_ai.completion",
    "db.query.text",
    "db.query.parameter.",
    "db.operation.parameter.",
    "db.statement",
    "exception.message",
    "sixply.provider.said",
    "exception.stacktrace",
    "graphql.document",
    "http.request.header.",
    "http.response.header.",
    "http.target",
    "http.url",
    "rpc.request.metadata.",
    "rpc.response.metadata.",
    "url.full",
    "url.original",
    "url.path",
    "url.query",
)
"""Attributes that hold content. A name that ends in a dot stands for all names that begin with it."""

# Attributes of our own.
LAYER: Final = "sixply.layer"
PART: Final = "sixply.part"
STEP: Final = "sixply.step"
STEPS_BEFORE: Final = "sixply.steps.before"
"""Steps of a resumed run that had ended before; spans of a killed process may be lost."""
TENANT: Final = "sixply.tenant"
BODY_WAIT_SECONDS: Final = "sixply.body.wait_seconds"
PROMPTS: Final = "sixply.prompts"
"""Name, version and digest of each prompt that the run used."""
PROVIDER_SAID: Final = "sixply.provider.said"
"""What a provider said of a call that it refused; it may quote the prompt."""
MANIFEST_ID: Final = "sixply.manifest.id"
HITS: Final = "sixply.retrieval.hits"
TEXTS: Final = "sixply.embeddings.texts"
STATUS: Final = "sixply.answer.status"
STOP_REASON: Final = "sixply.answer.stop_reason"
ANSWER_PATH: Final = "sixply.answer.path"
ANSWER_ID: Final = "sixply.answer.id"
TOP_SCORE: Final = "sixply.retrieval.top_score"
CONFIDENCE: Final = "sixply.grounding.confidence"
"""Strength of the evidence, from which on something is shown."""
SAID: Final = "sixply.grounding.said"
"""Whether a quote has every word of the question."""
CONTRADICTED: Final = "sixply.grounding.contradicted"
"""Whether the quotes lack a figure, name or identifier of the question, or deny what it does not."""

# Metrics of our own; those of the conventions come from instrumentors. At `/metrics` a dot is an underscore.
ANSWERS: Final = "sixply.answers"
ANSWER_SECONDS: Final = "sixply.answer_seconds"
FIRST_TOKEN_SECONDS: Final = "gen_ai.server.time_to_first_token"  # noqa: S105 - a name
"""Time to the first token, by the conventions' name, with the whole system as the server."""
COST_USD: Final = "sixply.cost_usd"
UNPRICED_CALLS: Final = "sixply.unpriced_calls"
SPANS_EXPORTED: Final = "sixply.spans_exported"
SPANS_DROPPED: Final = "sixply.spans_dropped"
DOCUMENTS: Final = "sixply.documents"
CHUNKS: Final = "sixply.chunks"
BUDGET_USED_SHARE: Final = "sixply.budget_used_share"
APPROVALS_WAITING: Final = "sixply.approvals_waiting"
APPROVALS_UNANNOUNCED: Final = "sixply.approvals_unannounced"
REQUESTS_RUNNING: Final = "sixply.requests_running"
REQUESTS_WAITING: Final = "sixply.requests_waiting"
REQUESTS_SHED: Final = "sixply.requests_shed"
LOOP_LAG_SECONDS: Final = "sixply.loop_lag_seconds"
LOOP_TASKS: Final = "sixply.loop_tasks"
