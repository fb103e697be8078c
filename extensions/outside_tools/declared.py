"""Tools from outside, described by an MCP server or an OpenAPI document, and the operator's declarations about them.

Their texts are cleaned, since a model reads them. Whether a tool has an effect, and the roles of its arguments, come from
our own configuration alone; by default a tool is an effect that needs an approval.
"""

import logging
import os
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Literal, Self, TypeVar

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from pydantic import Field, model_validator

from extensions.outside_tools.schemas import demand_offerable
from foundation.errors import InvalidSetting, MissingCredential, did_you_mean
from foundation.settings import Section
from foundation.types import Principal
from orchestration.language.guard import visible

log = logging.getLogger(__name__)
DESCRIPTION_CHARACTERS = 600
T = TypeVar("T")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]+")

# (arguments, the idempotency key of an effect, whether it is one, who calls) -> (text for a person, the result as data)
Call = Callable[[dict[str, Any], str | None, bool, Principal | None], Awaitable[tuple[str, Any]]]


class Declared(Section):
    """The operator's declaration of one foreign tool, which becomes its metadata."""

    effect: bool | None = None
    """Whether the tool changes something. Unset: as its kind implies (an HTTP GET: no), else yes."""
    idempotent: bool = False
    reach: Literal["own", "outward"] = "outward"
    arguments: dict[str, Literal["target", "content", "amount", "choice"]] = Field(default_factory=dict)
    units: dict[str, str] = Field(default_factory=dict)
    """The smallest unit of each amount: `{ amount = "0.01" }`."""
    trusted: tuple[str, ...] | dict[str, dict[str, str]] = ()
    issued_by: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    examples: tuple[str, ...] = ()
    timeout_s: float = Field(default=30, gt=0)
    description: str | None = None
    """A description to use in place of theirs."""


class ForeignOptions(Section):
    """The options that every source of foreign tools has."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")
    """A prefix for the tools' names: `name` "files" and their "read" make `files_read`."""
    only: tuple[str, ...] | None = None
    """Their names of the tools to take over; unset: all."""
    tools: dict[str, Declared] = Field(default_factory=dict)
    """Declarations about tools, by their name."""
    headers_from: dict[str, str] = Field(default_factory=dict)
    """HTTP header -> environment variable that holds its value, such as a key."""

    @model_validator(mode="after")
    def _demand_taken(self) -> Self:
        if self.only is not None and (left_out := [name for name in self.tools if name not in self.only]):
            raise ValueError(f'tools."{left_out[0]}" is declared and not in `only`')
        return self


class UnclearOutcome(Exception):
    """An effect failed without its server telling whether it happened."""


def foreign_tool(
    options: ForeignOptions,
    theirs: str,
    *,
    description: str,
    schema: Mapping[str, Any],
    call: Call,
    effect: bool = True,
) -> BaseTool:
    """Return a tool that passes calls on to `call`. `effect` holds where the configuration does not declare it."""
    declared = options.tools.get(theirs, Declared())
    is_effect = effect if declared.effect is None else declared.effect
    return ForeignTool(
        name=our_name(options.name, theirs),
        description=declared.description or harmless(description) or theirs,
        args_schema=plain_schema(schema),
        send=call,
        response_format="content_and_artifact",
        metadata={**declared.model_dump(exclude={"description"}), "effect": is_effect},
    )


class ForeignTool(BaseTool):
    """A tool that hands its arguments on as they are, whatever they are named."""

    send: Call

    # as keywords, arguments named `config`, `self` or `run_manager` would collide with LangChain's own
    def _to_args_and_kwargs(self, tool_input: Any, tool_call_id: str | None) -> tuple[tuple[Any], dict[str, Any]]:  # noqa: ARG002
        return (tool_input,), {}

    async def _arun(self, arguments: dict[str, Any], config: RunnableConfig) -> tuple[str, Any]:
        given = config.get("configurable", {})
        effect = (self.metadata or {})["effect"]
        return await self.send(arguments, given.get("idempotency_key"), effect, given.get("principal"))

    def _run(self, *_: Any, **__: Any) -> Any:  # LangChain demands it; these clients belong to an event loop
        raise NotImplementedError(f"{self.name} is called with `await tool.ainvoke(...)`.")


def take_over(
    options: ForeignOptions, source: str, theirs: Mapping[str, T], make: Callable[[T], BaseTool]
) -> list[BaseTool]:
    """Make the configured ones of their tools; one that cannot be offered safely is left out, with a line in the log.

    Raises InvalidSetting: a configured tool is not among them.
    """
    for name in (*(options.only or ()), *options.tools):
        if name not in theirs:
            raise InvalidSetting(f'{source} has no tool "{name}". {did_you_mean(name, list(theirs))}')
    taken: dict[str, BaseTool] = {}
    for name in (name for name in theirs if options.only is None or name in options.only):
        try:
            tool = make(theirs[name])
            demand_offerable(tool)
            _demand_free(tool.name, taken)
        except InvalidSetting as error:
            # whoever runs the server may change its tools, but not keep us from starting
            log.error("%s: its tool %r is left out. %s", source, name[:100], error)  # noqa: TRY400 - the traceback says no more
        else:
            taken[tool.name] = tool
    return [*taken.values()]


def _demand_free(name: str, taken: Collection[str]) -> None:
    if name in taken:
        raise InvalidSetting(f"Another one before it is named {name} with us, too.")


def secret(variable: str) -> str:
    """Return an environment variable. Raises MissingCredential: it is unset or empty."""
    value = os.environ.get(variable)
    if not value:
        raise MissingCredential(f"The environment has no {variable}, which [[orchestration.tools]] names. Set it.")
    return value


def our_name(prefix: str, theirs: str) -> str:
    """
    >>> our_name("files", "read/me now")
    'files_read_me_now'
    """
    return f"{prefix}_{re.sub('_+', '_', _NOT_IN_A_NAME.sub('_', theirs)).strip('_')}"[:64]


def harmless(text: str) -> str:
    """Remove invisible characters from foreign text and cut it."""
    return " ".join(visible(text).split())[:DESCRIPTION_CHARACTERS]


def plain_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return their JSON schema of the arguments, an object, with harmless texts."""
    cleaned: dict[str, Any] = _clean_schema(schema)
    return {"type": "object", "properties": {}, **cleaned, "title": "arguments", "description": "arguments"}


def _clean_schema(value: Any, *, names: bool = False) -> Any:
    """Clean a part of a schema. `names`: the keys of this object are names that they chose, not keywords of JSON schema."""
    if isinstance(value, Mapping):
        return {
            key: harmless(item)
            if not names and key in {"title", "description", "$comment"} and isinstance(item, str)
            else _clean_schema(
                item, names=not names and key in {"properties", "$defs", "definitions", "patternProperties"}
            )
            for key, item in value.items()
            if names or key not in {"examples", "example"}
        }
    return [_clean_schema(item) for item in value] if isinstance(value, list) else value
