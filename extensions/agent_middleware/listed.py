"""Opens the middleware that stack.toml lists: LangChain's, or your own, governed as everything else is."""

from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from inspect import signature
from typing import Any

from langchain.agents.middleware import AgentMiddleware, HumanInTheLoopMiddleware
from langchain_core.tools import BaseTool

from extensions.agent_middleware.settings import SECTION
from foundation.components import find_modules, load
from foundation.errors import InvalidSetting
from foundation.settings import Part
from orchestration.calls import metadata_of
from orchestration.contract import AgentParts
from orchestration.run.metered_chat import MeteredChatModel

# Tools of LangChain's that write nothing but the conversation
HARMLESS = frozenset({"write_todos"})
# Options by which middleware of LangChain makes a chat model of its own, whose calls nobody would pay for or govern
MODELS = ("model", "first_model", "fallback_models", "summarization_model")


def open_middleware(listed: Sequence[Part], parts: AgentParts) -> list[AgentMiddleware[Any, Any]]:
    """Return the middleware of the list, in its order. Raises InvalidSetting: one cannot be governed."""
    opened = [_open(part, parts) for part in listed]
    names = Counter(item.name for item in opened)
    if doubled := next((name for name, times in names.items() if times > 1), ""):
        raise InvalidSetting(
            f"[agent_middleware] lists {doubled} twice, and LangChain takes one of a name. Leave one out."
        )
    return opened


def _open(part: Part, parts: AgentParts) -> AgentMiddleware[Any, Any]:
    allow = part.options.get("allow", [])
    options: dict[str, Any] = {name: value for name, value in part.options.items() if name != "allow"}
    if named := next((name for name in MODELS if name in options and ":" in part.use), ""):
        raise InvalidSetting(
            f'The middleware "{part.use}" names a chat model ({named}) that would be neither paid for nor governed. Leave it '
            "out: it then calls the model of [models.chat]."
        )
    if ":" in part.use and _takes_model(part.use):
        options["model"] = MeteredChatModel(inner=parts.chat, told=False)
    elif ":" not in part.use and part.use not in _find_brought():
        raise InvalidSetting(
            f'[agent_middleware] lists "{part.use}". Write "package.module:Class", such as '
            f'"langchain.agents.middleware:TodoListMiddleware", or one of: {", ".join(_find_brought()) or "none is brought here"}.'
        )
    item: AgentMiddleware[Any, Any] = load(SECTION, Part(use=part.use, **options), parts, expected=AgentMiddleware)
    _demand_async(item, part.use)
    item.tools = _choose_tools(item, part.use, allow)
    return item


def _find_brought() -> list[str]:
    modules = find_modules(SECTION)
    return sorted(name for name, module in modules.items() if not module.startswith(f"{SECTION}."))


def _takes_model(use: str) -> bool:
    module, _, name = use.partition(":")
    try:
        factory = getattr(import_module(module), name)
        return "model" in signature(factory).parameters
    except (ImportError, AttributeError, TypeError, ValueError):  # `load` says what is wrong with it
        return False


def _demand_async(item: AgentMiddleware[Any, Any], use: str) -> None:
    if isinstance(item, HumanInTheLoopMiddleware):
        raise InvalidSetting(
            f'The middleware "{use}" pauses for a person by itself, and nothing here would answer it. Approvals are asked for '
            "by policy.toml: take it off the list, and make what needs one a tool that is an effect."
        )
    for sync in ("wrap_model_call", "wrap_tool_call"):
        own, base = type(item), AgentMiddleware
        if getattr(own, sync) is not getattr(base, sync) and getattr(own, f"a{sync}") is getattr(base, f"a{sync}"):
            raise InvalidSetting(f'The middleware "{use}" has {sync} and no a{sync}. Write the asynchronous one, too.')


def _choose_tools(item: AgentMiddleware[Any, Any], use: str, allow: Any) -> list[BaseTool]:
    """Return its tools that may be called without the policy. Raises InvalidSetting: none may, or `allow` names what it has not."""
    tools = {tool.name: tool for tool in getattr(item, "tools", ())}
    if not isinstance(allow, list) or (strange := sorted({*map(str, allow)} - tools.keys())):
        wrong = f"{strange[0]}" if isinstance(allow, list) else f"{allow!r}, which is no list"
        raise InvalidSetting(f'The middleware "{use}" allows {wrong}. Its tools: {", ".join(tools) or "none"}.')
    offered = [
        tool
        for name, tool in tools.items()
        if name in allow or name in HARMLESS or not metadata_of(tool, "effect", True)
    ]
    if tools and not offered:
        raise InvalidSetting(
            f'The middleware "{use}" brings the tools {", ".join(tools)}, and no policy or approval would stand before them. '
            f'Name those that change nothing outside of the conversation: {{ use = "{use}", allow = ["{next(iter(tools))}"] }}.'
        )
    return offered
