"""Abilities of a chat model, found by trying: a few short calls, which cost as any other."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel

from foundation.errors import SixplyError, UpstreamDown, UpstreamTimeout
from models.pricing import identity
from models.resilience.bindings import carry_settings
from models.resilience.streams import ENDED, THINKING, end_of_thoughts, is_cut_off, join_chunks
from models.resilience.vendor_errors import explain, translate

WORD = "BLUE"
LONG = "Write the numbers from one to three hundred in words"
# Words that a reply of such length has at least, and the tokens after which one is to be cut off
MANY, FEW = 300, 16
THOUGHTS_APART = "keeps thoughts apart"
ONE_CALL = "Write down the number 7 with the tool note_number."
TWO_CALLS = "Write down the numbers 7 and 8 with the tool note_number: two calls in this one reply."


@dataclass(frozen=True, slots=True)
class Ability:
    """An ability that a model has or lacks, how it reacted, and what follows for the system."""

    name: str
    can: bool
    found: str
    consequence: str


class note_number(BaseModel):  # noqa: N801 - the tool's name
    """Write down a number."""

    number: int


class Colour(BaseModel):
    """A colour."""

    name: str


Trial = Callable[[BaseChatModel], Awaitable[tuple[bool, str]]]


async def try_abilities(
    model: BaseChatModel, progress: Callable[[str, int, int], None] = lambda *_: None
) -> list[Ability]:
    """Try all abilities that the system uses, the others only if the first finds a server. A failing call counts as a missing ability."""
    abilities: list[Ability] = []
    for name, trial, *consequences in TRIALS:
        progress(name, len(abilities), len(TRIALS))
        ability, error = await _try(model, name, trial, *consequences)
        abilities.append(ability)
        if len(abilities) == 1 and isinstance(error, UpstreamDown | UpstreamTimeout):
            break
    return abilities


def profile_line(abilities: Sequence[Ability], window: int | None = None) -> str:
    """Return the line for `[models.chat]` that states these abilities and how many tokens are read, where that is known.

    >>> profile_line([Ability("calls tools", True, "", ""), Ability("keeps to a JSON schema", False, "", "")])
    'profile = { tool_calling = true, structured_output = false }'
    """
    keys = {"calls tools": "tool_calling", "keeps to a JSON schema": "structured_output"}
    stated = [f"{keys[it.name]} = {str(it.can).lower()}" for it in abilities if it.name in keys]
    stated += ["reasoning_output = true" for it in abilities if it.name == THOUGHTS_APART and not it.can]
    return f"profile = {{ {', '.join(stated + [f'max_input_tokens = {window}'] * bool(window))} }}"


async def _try(
    model: BaseChatModel, name: str, trial: Trial, if_so: str, *if_not: str
) -> tuple[Ability, SixplyError | None]:
    consequence, failure = if_not[0], None
    try:
        can, reaction = await trial(model)
    except NotImplementedError as error:
        can, reaction = False, str(error) or "not offered by its client"
    except Exception as error:  # every vendor has exceptions of its own
        failure = translate(error, model=identity(model)[1])
        can, reaction, consequence = False, explain(error, model=identity(model)[1]), if_not[-1]
    return Ability(name, can, " ".join(reaction.split()), if_so if can else consequence), failure


async def _answers(model: BaseChatModel) -> tuple[bool, str]:
    reply = await model.ainvoke([HumanMessage("Say hello in one word.")])
    return bool(reply.text.strip()), reply.text.strip()[:60] or "an empty reply"


async def _thinks_apart(model: BaseChatModel) -> tuple[bool, str]:
    text = (await model.ainvoke([HumanMessage("What is 17 plus 25? Answer with the number.")])).text
    return bool(THINKING.match(text)) or not end_of_thoughts(text), text.strip()[:60]


async def _follows_system(model: BaseChatModel) -> tuple[bool, str]:
    messages: list[BaseMessage] = [
        SystemMessage(f"Whatever you are asked, answer with the word {WORD} and nothing else."),
        HumanMessage("Which day comes after Monday?"),
    ]
    reply = await model.ainvoke(messages)
    return WORD in reply.text.upper(), reply.text.strip()[:60]


async def _streams(model: BaseChatModel) -> tuple[bool, str]:
    pieces = [
        chunk.text async for chunk in model.astream([HumanMessage("Count from one to ten in words.")]) if chunk.text
    ]
    return len(pieces) > 1, f"{len(pieces)} pieces"


async def _calls_tools(model: BaseChatModel, request: str = ONE_CALL, wanted: int = 1) -> tuple[bool, str]:
    reply = await model.bind_tools([note_number]).ainvoke([HumanMessage(request)])
    calls = [call for call in reply.tool_calls if call["name"] == "note_number" and "number" in call["args"]]
    return len(calls) >= wanted, f"{len(calls)} calls" if calls else f"no call: {reply.text.strip()[:60]}"


async def _goes_on(model: BaseChatModel) -> tuple[bool, str]:
    bound, asked = model.bind_tools([note_number]), HumanMessage(ONE_CALL)
    # streamed, as the agent does: what has to go back with a call comes in the pieces
    called = join_chunks([cast("AIMessageChunk", chunk) async for chunk in bound.astream([asked])])
    if not called.tool_calls:
        return False, f"no call: {called.text.strip()[:60]}"
    results = [ToolMessage("Noted.", tool_call_id=call["id"] or "", name=call["name"]) for call in called.tool_calls]
    reply = await bound.ainvoke([asked, called, *results])
    return bool(reply.text.strip() or reply.tool_calls), reply.text.strip()[:60] or "an empty reply"


async def _is_cut_off(model: BaseChatModel) -> tuple[bool, str]:
    limited, arguments = carry_settings(model, {"max_tokens": FEW})
    reply = await limited.ainvoke([HumanMessage("Count from one to two hundred in words.")], **arguments)
    ended = {name: value for name, value in reply.response_metadata.items() if name in ENDED}
    return is_cut_off(reply), f"{len(reply.text.split())} words of at most {FEW} tokens, {ended or 'no reason'}"


async def _writes_at_length(model: BaseChatModel) -> tuple[bool, str]:
    reply = await model.ainvoke([HumanMessage(f"{LONG}, one a line, and leave none out.")])
    words, cut = len(reply.text.split()), is_cut_off(reply)
    return words >= MANY and not cut, f"{words} words, {'cut off' if cut else 'complete'}"


async def _keeps_to_schema(model: BaseChatModel) -> tuple[bool, str]:
    colour = await model.with_structured_output(Colour).ainvoke([HumanMessage("Which colour has a ripe tomato?")])
    return isinstance(colour, Colour), str(colour).strip()[:60]


async def _reports_usage(model: BaseChatModel) -> tuple[bool, str]:
    chunks = [chunk async for chunk in model.astream([HumanMessage("Say hello in one word.")])]
    usage = sum(chunks[1:], chunks[0]).usage_metadata if chunks else None
    return usage is not None, f"{usage['input_tokens']} read, {usage['output_tokens']} written" if usage else "no usage"


TRIALS: Sequence[tuple[Any, ...]] = (
    ("answers", _answers, "it can be used", "it cannot be used: see what it says"),
    (
        "follows the system message",
        _follows_system,
        "persona and rules are kept",
        "persona and rules may be ignored; the executor holds the rules all the same",
        # where it is refused, and not only ignored
        "each answer of the tool_calling agent fails: give its server a chat template that takes system messages",
    ),
    (
        "streams",
        _streams,
        "words arrive as they are written",
        "answers arrive whole",
        "each answer fails until you set extra = { disable_streaming = true }; then answers arrive whole",
    ),
    (
        THOUGHTS_APART,
        _thinks_apart,
        "words are told as they come",
        "its words are told once its thoughts have ended, by the line below; better, let its server send them apart",
    ),
    ("calls tools", _calls_tools, "the tool_calling agent", "the planned agent, graph"),
    (
        "calls several at once",
        partial(_calls_tools, request=TWO_CALLS, wanted=2),
        "side by side in one round",
        "one call a round: more rounds",
    ),
    (
        "goes on from a tool's result",
        _goes_on,
        "what tools give is read",
        "an answer ends with its first call",
        "each answer that uses a tool fails: see what it says",
    ),
    (
        "says when it is cut off",
        _is_cut_off,
        "an answer that breaks off says so",
        "one that breaks off looks complete, or the limit of tokens has no effect",
    ),
    (
        "writes at length",
        _writes_at_length,
        "long answers arrive whole",
        "long answers break off: [models.chat] max_tokens",
    ),
    ("keeps to a JSON schema", _keeps_to_schema, "objects are asked for by schema", "objects are read from its text"),
    ("tells its tokens", _reports_usage, "calls are priced by them", "its calls have no price"),
)
