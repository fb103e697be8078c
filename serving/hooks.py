"""Where extensions plug in: the lists of one open system over which the core loops, without knowing who is in them.

An extension's `plug(hooks)` is called before any layer is opened, so what needs the open system is a function that gets it later.
docs/extensions/index.md tells what each hook is for. They are to stay fifteen at most: a new one has to serve more than one extension.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any, TypeVar

from foundation.components import Assembly, Context
from foundation.errors import InvalidSetting, SixplyError
from foundation.extensions import resolve, turn_on
from serving.settings import Settings

if TYPE_CHECKING:  # whoever plugs in has imported what they need
    from starlette.types import ASGIApp

    from foundation.types import Principal
    from orchestration.actions import Approval
    from orchestration.contract import Agent, AnswerCheck, Demand, Guarded
    from orchestration.effects.records import Recorder
    from orchestration.events import Conversation
    from serving.access.identity import KeyStore
    from serving.http.errors import Surface
    from serving.runtime import Runtime
    from serving.wiring import System

T = TypeVar("T")
Key = TypeVar("Key")
Value = TypeVar("Value")


class Around(IntEnum):
    """The places of what is wrapped around the agent, from the inner to the outer."""

    CLAIM = 0
    STOP = 1
    RECORD = 2
    COUNT = 3
    LIMIT = 4


class Place(Enum):
    """Where the core shows a `Panel`, and what that is read for."""

    TRACE = "in `make trace`, for the id of the trace"
    SYSTEM = "in `make system-card`, for nothing"
    LIVE = "on the page's live view, for nothing, as rows with `title`, `value` and `note`"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """What an extension knows, as rows that the core shows among its own."""

    place: Place
    name: str
    """Its heading, and its key in JSON."""
    read: Callable[[str], Sequence[Mapping[str, Any]]]
    columns: Sequence[str] = ()
    cells: Callable[[Mapping[str, Any]], Sequence[object]] = lambda row: [*row.values()]


@dataclass(frozen=True, kw_only=True)
class AnswerAction:
    """What a person can do with an answer of their own conversation. An extension offers it among its services; the page has a button for it."""

    label: str
    icon: str
    """A name of Material's icons."""
    is_offered: Callable[[System, Principal], bool]
    run: Callable[[str, str, Principal, Runtime], Awaitable[Conversation]]
    """Called with the ids of the conversation and of the answer; returns the conversation to open. It raises for people to read."""


@dataclass(frozen=True, kw_only=True)
class Started:
    """A server that is about to serve."""

    system: System
    callers: KeyStore
    url: str
    own_key: str = ""
    """The key that it has made for the owner of this machine; empty where others have keys."""


@dataclass(frozen=True)
class Check:
    """A row of `make doctor`. `ok` with `advice` is a warning: it works, and could be better."""

    name: str
    ok: bool
    found: str
    advice: str = ""


class Taken(dict[Key, Value]):
    """A table in which each place can be taken once."""

    def __setitem__(self, place: Key, value: Value) -> None:
        if place in self:
            raise InvalidSetting(f'"{place}" is taken twice, by two extensions or by the core. Turn one of them off.')
        super().__setitem__(place, value)


@dataclass(frozen=True, kw_only=True)
class Middleware:
    """ASGI middleware around the routes: the caller is known then, and the body is whole."""

    wrap: Callable[[ASGIApp], ASGIApp]
    declare: Callable[[dict[str, Any]], None] = lambda _: None
    """Adds to the OpenAPI document what it takes and gives."""


@dataclass(kw_only=True)
class Hooks:
    """The hooks of one open system."""

    settings: Settings
    assembly: Assembly
    recorders: list[Recorder] = field(default_factory=list)
    """Each is awaited with what happened before its outcome is returned."""
    agents: Taken[Around, Callable[[Agent], Agent]] = field(default_factory=Taken)
    """Wraps the agent, at its place."""
    answer_checks: list[AnswerCheck] = field(default_factory=list)
    """Each says what of a model's answer was not read, beside the core's own check of markers, quotations and figures."""
    guards: list[Demand] = field(default_factory=list)
    """Each is asked before a tenant's request, a call of a chat model and an effect, and raises Stopped where it refuses."""
    announcers: list[Callable[[Approval], None]] = field(default_factory=list)
    """Each is told of an approval that waits; it returns at once and raises nothing."""
    routers: list[str] = field(default_factory=list)
    """Names of FastAPI's routers, "extensions.notes.routes:router", which only a server imports."""
    lifespans: list[Callable[[Runtime], AbstractAsyncContextManager[Any]]] = field(default_factory=list)
    """Open while the server runs."""
    middleware: list[Middleware] = field(default_factory=list)
    """Each wraps the routes, a later one the earlier ones."""
    surfaces: list[Surface] = field(default_factory=list)
    """Say of paths of their own who calls there, where their key is, and what an error looks like."""
    server_parts: list[Callable[[Runtime], object]] = field(default_factory=list)
    """Make what a server process has one of, such as its queue; `Runtime.part` finds it by its class."""
    greetings: list[Callable[[Started], Awaitable[str]]] = field(default_factory=list)
    """Each writes a line that `make serve` prints when it starts."""
    ready: Taken[str, Callable[[], object]] = field(default_factory=Taken)
    """Probes of stores without which no answer can be given. They run in a thread; what one raises makes the server unready."""
    checks: list[Callable[[], Check]] = field(default_factory=list)
    """Rows of `make doctor`. What one raises is a failed check."""
    panels: list[Panel] = field(default_factory=list)
    services: list[object] = field(default_factory=list)
    """What extensions offer to those that require them: `service` finds it by its class."""

    @property
    def context(self) -> Context:
        return self.assembly.context

    def demand(self, kind: Guarded, name: str = "") -> None:
        """Ask every guard. Raises Stopped."""
        for guard in self.guards:
            guard(kind, name)

    def keep(self, built: T) -> T:
        """Return `built`, and close it when the system closes."""
        return self.assembly.keep(built)

    def section(self, kind: type[T]) -> T:
        """Return the extension's section of the settings by its class."""
        return self.settings.section(kind)

    def service(self, kind: type[T]) -> T:
        """Return what another extension offers. Raises InvalidSetting: none that is on does."""
        for service in self.services:
            if isinstance(service, kind):
                return service
        raise InvalidSetting(
            f"No extension that is on offers a {kind.__name__}. Name the one that does, {kind.__module__}, in `requires`."
        )


def plug_in(settings: Settings, assembly: Assembly) -> Hooks:
    """Return the hooks of a system that opens, with every extension of `[extensions]` plugged in.

    Raises UnknownPart: there is none of that name. InvalidSetting: one lacks another, or fails; nothing is started then.
    """
    hooks = Hooks(settings=settings, assembly=assembly)
    for name, extension in turn_on(settings.extensions).items():
        if not extension.plug:
            continue
        plug: Callable[[Hooks], None] = resolve(extension.plug)
        try:
            plug(hooks)
        except SixplyError:
            raise
        except Exception as error:  # whatever foreign code raises
            raise InvalidSetting(
                f'The extension "{name}" failed while it plugged in: {type(error).__name__}: {error}. Mend it, or turn it off: '
                f"make remove NAME={name}"
            ) from error
    return hooks
