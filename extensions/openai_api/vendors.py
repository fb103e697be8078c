"""Code that the vendor APIs share: names of models, supported parameters, and the text with its sources."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel, ConfigDict, Field

from extensions.openai_api.approvals import WAITING, tell_outcomes
from extensions.openai_api.conversation import (
    FunctionDefinition,
    ResponseFormat,
    check_pairs,
    check_tools,
    images_in,
    join_replies,
    options_of,
)
from extensions.openai_api.errors import UnknownModel, UnsupportedParameter
from foundation.errors import InvalidRequest, did_you_mean
from foundation.output.markdown import markdown_label
from foundation.types import Principal
from models.pricing import MOST_TOKENS
from orchestration.events import Answer
from orchestration.requests import AnswerRequest, ClientOptions
from serving.api.schemas import Identifier, Text
from serving.http.streams import text_for_clients
from serving.runtime import Runtime

Compose = Literal["auto", "extractive", "generative"]
# Accepted values of `model`, and how each composes its answer; `None` as configured
MODELS: dict[str, Compose | None] = {
    "sixply": None,
    "sixply-extractive": "extractive",
    "sixply-generative": "generative",
}

USUAL = next(iter(MODELS))

# What clients send by default, and the configuration decides: accepted without effect
IGNORED = frozenset({
    "cache_control", "prompt_cache_key", "prompt_cache_retention", "safety_identifier",
    "service_tier", "thinking", "user", "verbosity",
})  # fmt: skip
# Values that change nothing. Other values of these parameters, and unlisted parameters, are refused.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "include": (["reasoning.encrypted_content"],),  # there is no reasoning to include
    "truncation": ("disabled", "auto"),
}
TOOLS = frozenset({"tools", "tool_choice"})
# What a client may set of each reply: numbers with their least and most, and counts and stops with our name of them. Without
# effect where an agent plans, except for the stops, which it refuses
NUMBERS = {
    "temperature": (0, 2), "top_p": (0, 1), "frequency_penalty": (-2, 2), "presence_penalty": (-2, 2),
    "seed": (-(2**63), 2**63 - 1),
}  # fmt: skip
COUNTS = dict.fromkeys(("max_completion_tokens", "max_output_tokens", "max_tokens"), "max_tokens") | {"top_k": "top_k"}
STOPS = dict.fromkeys(("stop", "stop_sequences"), "stop")
# How long a model thinks, of those that do
EFFORT = "reasoning_effort"
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
SETTINGS = NUMBERS.keys() | COUNTS.keys() | STOPS.keys() | {EFFORT, "reasoning"}
# What an agent that plans refuses: the configured model calls no tools
FOR_TOOLS = TOOLS | STOPS.keys() | {"output_config", "response_format", "text"}
# Values of `tool_choice` with which the client's tools are not to be called
NO_TOOLS: tuple[Any, ...] = ("none", {"type": "none"})


class TextPart(BaseModel):
    type: Literal["text"]
    text: Text


class ChatMetadata(BaseModel):
    """Metadata of a request. Only `thread_id` is read; clients may add fields of their own."""

    model_config = ConfigDict(extra="allow", frozen=True)

    thread_id: Identifier | None = Field(default=None, description="Continues a conversation of yours.")


class VendorRequest(BaseModel):
    """What every vendor's request has. Unlisted parameters are refused where they would change the answer."""

    model_config = ConfigDict(extra="allow", frozen=True)

    model: Text
    stream: bool = False
    store: bool | None = None
    metadata: ChatMetadata | None = None
    tool_choice: Any = None


def refuse_unsupported(parameters: Mapping[str, Any], *, planned: bool) -> None:
    """Raises UnsupportedParameter: one would change the answer, and is not supported, or not by an agent that plans."""
    allowed = IGNORED | SETTINGS - (STOPS.keys() if planned else set())
    neutral = NEUTRAL | ({"tool_choice": ("none", "auto", {"type": "auto"})} if planned else {})
    no_calls = parameters.get("tool_choice") in NO_TOOLS
    for name, value in parameters.items():
        if value in (None, []) or name in allowed or value in neutral.get(name, ()) or (no_calls and name in TOOLS):
            continue
        why = ": it needs a chat model that calls tools (docs/models.md)" if name in FOR_TOOLS else ""
        if name in TOOLS:
            why += ". This agent's own run on the server under its policy; docs/tools.md says how it gets more"
        raise UnsupportedParameter(
            f'"{name}" is not supported here{why}. Leave it out; docs/api.md lists what is.', param=name
        )


def _settings_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the parameters set of each reply of the model. Raises UnsupportedParameter: a value does not fit."""
    settings: dict[str, Any] = {}
    for name, value in parameters.items():
        if name not in SETTINGS or value in (None, []):
            continue
        is_number = type(value) in (int, float)  # a bool is an int, too
        if name in NUMBERS:
            low, high = NUMBERS[name]
            fits, wanted = is_number and low <= value <= high, f"a number from {low} to {high}"
            settings[name] = value
        elif name in (EFFORT, "reasoning"):
            effort = value.get("effort") if name == "reasoning" and isinstance(value, dict) else value
            fits, wanted = effort in (None, *EFFORTS), f"one of {', '.join(EFFORTS)}"
            settings |= {EFFORT: effort} if effort else {}
        elif name in COUNTS:
            ours, wanted, least = COUNTS[name], "a whole number above 0", 0 if name == "top_k" else 1
            fits = is_number and value % 1 == 0 and (value >= least or value == -1)
            if fits and value > 0:  # else it is no limit, as at other servers
                settings[ours] = min(int(value), settings.get(ours, MOST_TOKENS))
        else:
            settings["stop"] = stops = [value] if isinstance(value, str) else value
            fits = isinstance(stops, list) and all(isinstance(text, str) and text for text in stops)
            wanted = "a text, or a list of texts"
        if not fits:
            raise UnsupportedParameter(f'"{name}" is {str(value)[:50]!r}; send {wanted}, or leave it out.', param=name)
    return settings


async def request_of(
    body: VendorRequest,
    messages: Sequence[AnyMessage],
    caller: Principal,
    runtime: Runtime,
    *,
    tools: Sequence[FunctionDefinition],
    response_format: ResponseFormat | None,
    format_name: str,
    thread_id: str | None = None,
    effort: str | None = None,
    **options: Any,
) -> AnswerRequest:
    """Convert a vendor's body to a request for the caller's agent. `format_name` is the vendor's name of the format
    parameter; `options` are those of `options_of`. Raises as `refuse_unsupported`, `options_of` and `request_from`.
    """
    sent = body.model_extra or {}
    thread_id = thread_id or (body.metadata.thread_id if body.metadata else None)
    if thread_id and body.store is False:
        raise UnsupportedParameter(
            'A conversation of the server is kept. Leave "store" out, or name none and send all messages.',
            param="store",
        )
    by_tenant = getattr(runtime.system.agent, "of", None)
    agent = by_tenant(caller) if by_tenant else runtime.system.agent
    planned = getattr(agent, "own_tools", None) is None
    refuse_unsupported(sent, planned=planned)
    if planned:  # it takes neither client tools nor a format
        wanted = {"tool_choice": body.tool_choice, "tools": [tool.name for tool in tools]}
        refuse_unsupported(wanted | {format_name: response_format and response_format.as_chat()}, planned=True)
        tools = ()
    client = options_of(
        messages,
        tools=tools,
        response_format=response_format,
        settings=_settings_of(sent | {EFFORT: effort} if effort else sent),
        **options,
    )
    if body.model not in (names := list_models(runtime, caller)):
        raise unknown(body.model, names)
    chosen = "" if body.model in MODELS else body.model
    request = request_from(USUAL if chosen else body.model, messages, thread_id, client, agent)
    request = request.model_copy(update={"model": chosen})
    return request if planned else await tell_outcomes(request, caller, runtime)


def list_models(runtime: Runtime, caller: Principal) -> list[str]:
    """Return the accepted names of `model`: ours, and those of `[models.choices]` that the caller may choose."""
    return list(dict.fromkeys([*MODELS, *runtime.choices(caller)]))


def request_from(
    model: str, messages: Sequence[AnyMessage], thread_id: str | None, client: ClientOptions, agent: Any
) -> AnswerRequest:
    """Return the request that the messages end in: a question, or results of client tools. The messages before it are
    included unless `thread_id` names a conversation. Raises UnknownModel. InvalidRequest: there is no question, or calls and
    results do not match. UnsupportedParameter: tools, tool results or images that the agent does not accept.
    """
    if model not in MODELS:
        raise unknown(model)
    turns = join_replies(message for message in messages if not isinstance(message, SystemMessage))
    ends_in_result = bool(turns) and isinstance(turns[-1], ToolMessage)
    _demand_answerable(turns, messages, agent)
    own_tools = getattr(agent, "own_tools", None)
    if own_tools is None:  # an agent that plans reads words alone
        turns = [message for message in turns if message.text and not isinstance(message, ToolMessage)]
        turns = [AIMessage(message.text) if isinstance(message, AIMessage) else message for message in turns]
    else:
        check_tools(client.tools, own_tools)
        if not thread_id:
            check_pairs(turns)
    places = [place for place, message in enumerate(turns) if isinstance(message, HumanMessage)]
    question, images = (turns[places[-1]].text, images_in(turns[places[-1]])) if places else ("", [])
    if not (question.strip() or images or (ends_in_result and thread_id)):
        raise InvalidRequest("There is no user message with text or an image in it, so there is no question.")
    return AnswerRequest(
        question=question,
        thread_id=thread_id,
        # context only, and no evidence: anybody can write what an assistant is said to have answered
        messages=() if thread_id else tuple(turns[: places[-1]]),
        images=tuple(images),
        since=tuple(turns[places[-1] + 1 if places else 0 :]) if ends_in_result else (),
        client=client,
        compose=MODELS[model],
    )


def _demand_answerable(turns: Sequence[AnyMessage], messages: Sequence[AnyMessage], agent: Any) -> None:
    why, last = "", turns[-1] if turns else None
    # after the assistant's words, a system message at the end asks for a new reply
    if isinstance(last, AIMessage) and not last.tool_calls and not isinstance(messages[-1], SystemMessage):
        why = "The last message is the assistant's, and no reply is continued here. End with a user message."
    elif any(map(images_in, turns)) and not getattr(agent, "takes_images", False):
        why = (
            "The configured model takes no images. Leave them out. (Of one that does, the operator says so: [models.chat] "
            "profile = { image_inputs = true }.)"
        )
    elif isinstance(last, ToolMessage) and getattr(agent, "own_tools", None) is None:
        why = "The last message is the result of a tool that the client ran. The agent asks for none; end with a user message."
    if why:
        raise UnsupportedParameter(why, param="messages")


def unknown(model: str, names: Sequence[str] = tuple(MODELS)) -> UnknownModel:
    return UnknownModel(f'No model "{model}". {did_you_mean(model, names)}')


def with_footnotes(answer: Answer) -> str:
    """Return the answer's text with `footnotes` below it; JSON is returned as it is."""
    if answer.is_json:
        return answer.text
    return "\n\n".join(filter(None, (text_for_clients(answer), footnotes(answer))))


def footnotes(answer: Answer) -> str:
    """Return a line for each citation, for the nearest documents, a pending approval, and each unsupported claim."""
    notes = [
        f"[{cited.marker}] {markdown_label(cited.title or cited.uri)} ({markdown_label(cited.uri)}, "
        f"characters {cited.start}-{cited.end})"
        for cited in answer.citations
    ]
    if nearest := [f"{markdown_label(near.title)} ({markdown_label(near.uri)})" for near in answer.nearest]:
        notes.append(f"Nearest: {', '.join(nearest)}")
    if answer.approval is not None and answer.status == "waiting":
        notes.append(WAITING.format(answer.approval.approval_id))
    notes += [
        f"[?] {markdown_label(claim.text)} ({markdown_label(claim.detail or claim.reason)})"
        for claim in answer.unsupported
    ]
    return "\n".join(notes)


def extra_of(answer: Answer) -> dict[str, Any]:
    """Return the answer's fields that a vendor's shape lacks, without the steps."""
    return answer.model_dump(mode="json", exclude={"question", "text", "usage", "steps"})
