"""The base of chat models that wrap others, and helpers that carry bound tools and schemas over from one model to another."""
# ruff: noqa: SLF001 - LangChain spells the hooks of a chat model with an underscore, and a wrapper must call them

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel, LangSmithParams, ModelProfile
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage, merge_message_runs
from langchain_core.runnables import Runnable, RunnableBinding, RunnableParallel, RunnableSequence

from models.pricing import identity, is_local

# What else a call may set of how a reply is written, where the model has a field of that name
SAMPLING = frozenset({"frequency_penalty", "presence_penalty", "seed", "temperature", "top_k", "top_p"})
# Names of LangChain's classes for the token limit of a reply, besides `max_tokens`
OTHER_LIMITS = ("num_predict", "max_output_tokens", "max_new_tokens")
# How vendors spell that no tool may be called. What is not here, such as Bedrock, has no such choice
NO_CALLS: Mapping[str, Any] = {
    "anthropic": {"type": "none"},
    "google_genai": "none",
    "llama_cpp": "none",
    "mistral": "none",
    "openai": "none",
    "scripted": "none",
}
# A warning about a model whose profile does not say whether it calls tools
UNKNOWN_PROFILE = (
    "Nothing is known of what %s can do, so it is asked as one that calls tools. Write what it can below [models.chat], such as "
    "profile = { tool_calling = true }: make model-check gives the line."
)


def profile_of(model: BaseChatModel) -> dict[str, Any]:
    """Return what is known of the model. A class without a `bind_tools` of its own calls no tools, whatever its profile says."""
    knows_none = type(model).bind_tools is BaseChatModel.bind_tools
    return {**(model.profile or {})} | ({"tool_calling": False} if knows_none else {})


class ChatWrapper(BaseChatModel):
    """A chat model around others, which takes its description for LangChain and telemetry from `primary`."""

    @property
    @abstractmethod
    def primary(self) -> BaseChatModel:
        """The model that answers first, before any fallback."""

    @property
    def local(self) -> bool:
        """Whether the model runs on this machine."""
        return is_local(self.primary)

    def _resolve_model_profile(self) -> ModelProfile | None:
        return self.primary.profile

    @property
    def model_name(self) -> str:
        return identity(self.primary)[1]

    @property
    def _llm_type(self) -> str:
        return self.primary._llm_type

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return {**self.primary._identifying_params, "model_name": self.model_name}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return self.primary._get_ls_params(stop=stop, **kwargs)

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        return self.primary._get_invocation_params(stop=stop, **kwargs)


def bound_arguments(
    model: BaseChatModel, tools: Sequence[Any], tool_choice: str | None, **kwargs: Any
) -> dict[str, Any]:
    """Return the keyword arguments with which a call of `model` passes tools. Raises NotImplementedError: it calls none."""
    demand_ability(model, "tools", "tool_calling")
    choice = {} if tool_choice in (None, "none") else {"tool_choice": tool_choice}
    bound = model.bind_tools(tools, **choice, **kwargs)
    if not isinstance(bound, RunnableBinding):
        # LangChain's own sign, here and below, that a model cannot do something; whoever binds catches it
        raise NotImplementedError(f"bind_tools of {type(model).__name__} gave a {type(bound).__name__}, no binding.")
    return dict(bound.kwargs) | (_no_calls(model) if tool_choice == "none" else {})


def _no_calls(model: BaseChatModel) -> dict[str, Any]:
    """Return the argument that forbids calls. LangChain's classes make of "none" a tool of that name, or refuse it."""
    primary = getattr(model, "primary", model)  # a wrapper has the fields of none
    vendor = "openai" if "openai_api_base" in type(primary).model_fields else identity(primary)[0]
    return {"tool_choice": NO_CALLS[vendor]} if vendor in NO_CALLS else {}


def demand_ability(model: BaseChatModel, what: str, *abilities: str) -> None:
    """Raise NotImplementedError where the model's profile denies all of the abilities; an unknown one is tried."""
    profile: Mapping[str, Any] = model.profile or {}
    if all(profile.get(ability) is False for ability in abilities):
        raise NotImplementedError(f"{identity(model)[1]} is not made for {what}. Use a model that is.")


def plain_choice(choice: Any) -> str | None:
    """Translate a vendor's tool_choice to a word that every `bind_tools` understands: auto, any, none or a tool's name."""
    if isinstance(choice, Mapping):
        choice = choice.get("name") or choice.get("function", {}).get("name") or choice.get("type")
    return "any" if choice == "required" else choice


def rebind(runnable: Runnable[Any, Any], old: BaseChatModel, new: BaseChatModel) -> Runnable[Any, Any]:
    """Replace `old` by `new` in a chain, for the shapes that LangChain builds for structured output."""
    if runnable is old:
        return new
    if isinstance(runnable, RunnableBinding) and runnable.bound is old:
        return runnable.model_copy(update={"bound": new})
    if isinstance(runnable, RunnableSequence):
        return RunnableSequence(*(rebind(step, old, new) for step in runnable.steps))
    if isinstance(runnable, RunnableParallel):
        return RunnableParallel({key: rebind(step, old, new) for key, step in runnable.steps__.items()})
    return runnable


def longest_reply(model: BaseChatModel, asked: int | None = None) -> int | None:
    """Return the limit of tokens of a reply: the lower one of the call's and the model's own; `None`: there is none."""
    limits = (asked, *(getattr(model, name, None) for name in ("max_tokens", *OTHER_LIMITS)))
    return min((limit for limit in limits if isinstance(limit, int) and limit > 0), default=None)


def carry_settings(model: BaseChatModel, arguments: dict[str, Any]) -> tuple[BaseChatModel, dict[str, Any]]:
    """Return the model and the arguments for one call. `max_tokens`, of which the lower counts, moves to the model's own
    field where it has another or that field wins: some classes pass unknown arguments to a client that refuses them.
    So do `SAMPLING`, or they are dropped where the model has no such field, or its API refuses them.
    """
    fields, thinking = type(model).model_fields, getattr(model, "thinking", None) or {}
    responses, taken = getattr(model, "use_responses_api", False), SAMPLING & fields.keys()
    effort = arguments.pop("reasoning_effort", None)
    sampling = {name: arguments.pop(name) for name in SAMPLING & arguments.keys()}
    if thinking or (model.profile or {}).get("temperature") is False:
        taken = frozenset()
    elif responses:
        taken &= {"temperature", "top_p"}
    elif identity(model)[0] == "anthropic" and {**vars(model), **sampling}.get("temperature") is not None:
        # one of the two; none above 1, without which a fallback answers
        taken -= {"top_p", *(["temperature"] if (sampling.get("temperature") or 0) > 1 else [])}
    own = {name: value for name, value in sampling.items() if name in taken}
    if effort and (model.profile or {}).get("reasoning_output") is not False:
        own |= _effort_of(model, effort)
    # below the tokens that are set apart for thinking, a limit would be refused
    if (limit := arguments.pop("max_tokens", 0)) > thinking.get("budget_tokens", 0):
        limit = longest_reply(model, limit)
        field = next((name for name in ("max_tokens", *OTHER_LIMITS) if name in fields), None)
        if field is None or (field == "max_tokens" and not responses):
            arguments["max_tokens"] = limit
        else:
            own[field] = limit
    return model.model_copy(update=own) if own else model, arguments


def _effort_of(model: BaseChatModel, effort: str) -> dict[str, Any]:
    """Return the field by which a class sets how long its model thinks. Anthropic's older models refuse it, so that there it takes
    the place of what the operator has set.
    """
    if "reasoning_effort" in type(model).model_fields:
        return {"reasoning_effort": effort}
    set_there: Mapping[str, Any] = getattr(model, "output_config", None) or {}
    return {"output_config": {**set_there, "effort": effort}} if "effort" in set_there else {}


def alternate(messages: list[BaseMessage]) -> list[BaseMessage]:
    """Return the messages in turns: many chat templates refuse a human one right after a tool's or a human one, and no API minds."""
    ordered: list[BaseMessage] = []
    for message in merge_message_runs(messages):
        if isinstance(message, HumanMessage) and ordered and isinstance(ordered[-1], ToolMessage):
            ordered.append(AIMessage("I have read this."))
        if isinstance(message.content, list):  # LangChain merges a bare text into it, which OpenAI refuses
            message.content = [{"type": "text", "text": it} if isinstance(it, str) else it for it in message.content]
        ordered.append(message)
    return ordered
