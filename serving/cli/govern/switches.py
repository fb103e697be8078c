"""`sixply stop`, `lift` and `stops`: the kill switches."""

from __future__ import annotations

import asyncio
import getpass
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foundation.clock import SystemClock
from serving.cli import terminal
from serving.cli.options import STACK, Json, Stack, load_stack

if TYPE_CHECKING:
    from serving.settings import Loaded


def stop(
    what: Annotated[str, typer.Argument(help="effects, all, tenant:NAME or model:NAME")],
    *,
    why: Annotated[str, typer.Option(help="It is told to everybody who is refused.")],
    stack: Stack = STACK,
) -> None:
    """Kill switch: holds from the next step of any work, in every process, until it is lifted."""
    _switch(load_stack(stack), what, why=why)


def lift(
    what: Annotated[str, typer.Argument(help="As it was stopped.")],
    stack: Stack = STACK,
) -> None:
    """Let work again what was stopped."""
    _switch(load_stack(stack), what, why=None)


def stops(json: Json = None, stack: Stack = STACK) -> None:
    """What is stopped, by whom and why."""
    _show_stops(load_stack(stack), json)


def _switch(loaded: Loaded, what: str, *, why: str | None) -> None:
    """Stop `what` for the reason `why`, or lift it where `why` is `None`. Opens no model and no documents."""
    from foundation import kill_switches as switches
    from foundation.kill_switches import Stops
    from foundation.settings import make_data_dir
    from orchestration.effects.audit import SqliteAudit
    from serving.access import kill_switches

    kind, name = switches.parse(what)
    data, clock, by = make_data_dir(loaded.settings.foundation.data_dir), SystemClock(), f"{getpass.getuser()}@terminal"
    stops = Stops(data / "stops.json", clock)
    if why is not None:  # before the audit is opened, which a full disk can prevent
        stops.add(kind, name, by=by, why=why)
        if error := stops.unwritten:
            raise type(error)(f"Nothing was stopped. {error}")
    with closing(SqliteAudit(data / "audit.sqlite", clock)) as audit:
        if why is None:
            asyncio.run(kill_switches.lift(stops, audit, kind, name, by=by))
        else:
            for sentence in asyncio.run(kill_switches.stop(stops, audit, kind, name, by=by, why=why)):
                terminal.show_note(sentence)
    _show_stops(loaded, None)


def _show_stops(loaded: Loaded, json: Path | None) -> None:
    from foundation.kill_switches import Stops

    stops = Stops(loaded.settings.foundation.data_dir / "stops.json", SystemClock()).list()
    if terminal.write_json(json, {"stops": [asdict(stop) for stop in stops]}):
        return
    if stops:
        terminal.show_rows(stops, "stopped | by | since | why", "{} | {.by} | {.at} | {.why}")
    else:
        terminal.show("Nothing is stopped.")
