"""`sixply stop`, `lift` and `stops`: the kill switches."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from extensions.kill_switches.stops import Stops, parse
from foundation.clock import SystemClock
from foundation.errors import StoreUnavailable
from serving.cli import terminal
from serving.cli.opening import open_recorders
from serving.cli.options import STACK, Json, Stack, load_stack, user_name
from serving.settings import context_of


def stop(
    what: Annotated[str, typer.Argument(help="effects, all, tenant:NAME or model:NAME")],
    *,
    reason: Annotated[str, typer.Option(help="The reason, shown to everybody who is refused.")],
    stack: Stack = STACK,
) -> None:
    """Stop effects, a tenant, a model or everything. It holds from the next step of any work, in every process, until it is lifted."""
    from extensions.kill_switches import stopping

    (kind, name), by = parse(what), f"{user_name()}@terminal"
    try:
        switches = _open(stack)
        # before the stores of extensions are opened, which a full disk can prevent
        switches.add(kind, name, by=by, reason=reason)
        if switches.unwritten:
            raise switches.unwritten
    except StoreUnavailable as error:
        message = f"Nothing was stopped. {error} Meanwhile PUT /v1/stops/{what} stops the process that answers it."
        raise type(error)(message) from error
    with open_recorders(load_stack(stack).settings) as recorders:
        for sentence in asyncio.run(stopping.stop(switches, recorders, kind, name, by=by, reason=reason)):
            terminal.show_note(sentence)
    stops(stack=stack)


def lift(what: Annotated[str, typer.Argument(help="The target, as it was stopped.")], stack: Stack = STACK) -> None:
    """Lift a stop."""
    from extensions.kill_switches import stopping

    switches, named = _open(stack), parse(what)
    with open_recorders(load_stack(stack).settings) as recorders:
        asyncio.run(stopping.lift(switches, recorders, *named, by=f"{user_name()}@terminal"))
    stops(stack=stack)


def stops(json: Json = None, stack: Stack = STACK) -> None:
    """List stops, with who set them and why."""
    # reads alone: it must work on a disk that can no longer be written
    rows = Stops(load_stack(stack).settings.foundation.data_dir / "stops.json", SystemClock()).list()
    if terminal.write_json(json, {"stops": [asdict(row) for row in rows]}):
        return
    if rows:
        terminal.show_rows(rows, "stopped | by | since | reason", "{} | {.by} | {.at} | {.reason}")
    else:
        terminal.show("Nothing is stopped.")


def _open(stack: Path) -> Stops:
    context = context_of(load_stack(stack).settings)
    return Stops(context.data_dir / "stops.json", SystemClock(), context.records)
