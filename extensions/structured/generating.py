"""Structured output of a chat model: valid against a pydantic model, or a typed failure. It is repaired once, never guessed."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import Runnable, RunnableBinding, RunnableSequence
from pydantic import BaseModel, ValidationError

from foundation.errors import UpstreamMalformed
from foundation.machine.deadline import in_thread_within
from models.contract import BaseChatModel
from models.resilience.streams import is_cut_off
from orchestration.prompts.files import Prompt
from orchestration.prompts.frames import as_data
from orchestration.run.bill import Chunks
from orchestration.run.run import Run

Object = TypeVar("Object", bound=BaseModel)

REPLY_TOKENS = 400
REPAIR = "That does not fit: {wrong}. Reply again with the corrected JSON alone."
# Most seconds for checking one reply against a schema, which may be a caller's
VALIDATING_S = 10.0
# Maximum number of mistakes in one request for a repair
_SHOWN = 3


# Makes one call of a chat model for JSON of this schema, of at most `REPLY_TOKENS`
Ask = Callable[[Sequence[BaseMessage], Mapping[str, Any]], Awaitable[AIMessage]]


def ask_in(run: Run) -> Ask:
    """Return calls of the run's chat model. They raise as `Bill.generate`, and a reply may still break the schema."""

    async def ask(messages: Sequence[BaseMessage], schema: Mapping[str, Any]) -> AIMessage:
        async def open_stream() -> Chunks:
            reply = await constrain(run.parts.chat, schema).ainvoke(list(messages), max_tokens=REPLY_TOKENS)
            yield AIMessageChunk(**reply.model_dump(exclude={"type"}))

        return await run.bill.generate(messages, open_stream, max_tokens=REPLY_TOKENS)

    return ask


def constrain(chat: BaseChatModel, schema: Mapping[str, Any]) -> Runnable[Any, AIMessage]:
    """Return the model bound to `schema` in its own way, without LangChain's parser, since the caller checks the reply. A
    model that cannot be bound is returned as it is; the prompt states the schema.
    """
    try:
        structured = chat.with_structured_output(dict(schema))
    except NotImplementedError:  # so LangChain says that a model has none
        return chat
    first = structured.first if isinstance(structured, RunnableSequence) else None
    return cast("Runnable[Any, AIMessage]", first) if isinstance(first, RunnableBinding) else chat


async def generate_object(
    schema: type[Object], messages: Sequence[BaseMessage], ask: Ask, *, shape: Mapping[str, Any] | None = None
) -> Object:
    """Return the reply of a chat model to `messages`, which `ask` calls, as an object of `schema`; `shape` is a narrower JSON schema for
    the model. Raises UpstreamMalformed: neither the reply nor its repair is valid; BudgetExceeded, ComponentError: as
    `ask`.
    """
    wanted = {"title": schema.__name__, "description": schema.__doc__ or "", **(shape or schema.model_json_schema())}
    conversation: list[BaseMessage] = list(messages)
    for last in (False, True):
        reply = await ask(conversation, wanted)
        try:
            return await in_thread_within(VALIDATING_S, schema.model_validate_json, json_of(reply))
        except ValidationError as error:
            if last:
                raise UpstreamMalformed(
                    f"The language model's reply does not fit {schema.__name__}, nor does its repair: {_describe_errors(error)}. "
                    f"{'It reached its limit of tokens. ' if is_cut_off(reply) else ''}Try again, or use a model that keeps to a JSON schema."
                ) from error
            repair = REPAIR.format(wrong=_describe_errors(error))
            conversation = [*messages, AIMessage(json_of(reply)), HumanMessage(repair)]
    raise AssertionError("the second turn returns or raises")


def object_from(prompt: Prompt, question: str, text: str, known: Mapping[str, Any]) -> list[BaseMessage]:
    """Return the messages that ask for an object from `text`, with the `known` fields."""
    hint = f"\nKnown already: {json.dumps(known)}" if known else ""
    return [SystemMessage(prompt.text), HumanMessage(f"<evidence>{as_data(text)}</evidence>\n\n{question}{hint}")]


def json_of(reply: AIMessage) -> str:
    """Return the reply's JSON: the arguments of a forced tool call, or the text without a code fence."""
    if reply.tool_calls:
        return json.dumps(reply.tool_calls[0]["args"])
    # a bare object may have a fence in one of its strings
    fenced = re.search(r"\A\s*+(?!\{)(?:(?!```).)*+```(?:json)?\s*+(.*?)```", reply.text, re.DOTALL)
    return (fenced.group(1) if fenced else reply.text).strip()


def _describe_errors(error: ValidationError) -> str:
    # without the values, which a person may have written
    mistakes = error.errors(include_url=False, include_input=False, include_context=False)[:_SHOWN]
    return "; ".join(f"{'.'.join(map(str, mistake['loc'])) or 'the reply'}: {mistake['msg']}" for mistake in mistakes)
