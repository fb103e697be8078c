"""`sixply sync`: keep the documents of the sources in step with them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from foundation.errors import ComponentError, InvalidRequest, did_you_mean
from serving.cli import terminal
from serving.cli.options import STACK, Json, Stack, exit_unless, load_stack


def sync(
    *,
    name: Annotated[
        str | None, typer.Option(help="One of [[sources.connections]]; by default all, in their order.")
    ] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Take in what changed in the sources, and take out what is gone. Broken off, the next one goes on there.

    Exit status 1: a source could not be reached, or so much was gone at once that it was kept.
    """
    from extensions.sources.plug import Sources
    from serving.wiring import open_system

    reports, failures = [], {}
    with open_system(load_stack(stack)) as system:
        sources = system.hooks.service(Sources)
        if name is not None and name not in sources.connections:
            raise InvalidRequest(f'There is no source "{name}". {did_you_mean(name, sorted(sources.connections))}')
        if not sources.connections:
            raise InvalidRequest("No source is named. Name one in [[sources.connections]]: docs/extensions/sources.md")
        for one in [name] if name else [*sources.connections]:
            job = sources.sync_of(one, system)
            with terminal.progress() as progress:
                job.progress = lambda done: progress("sync", done, done)
                try:
                    reports.append(job.run())
                except ComponentError as error:
                    failures[one] = str(error)
    if not terminal.write_json(json, {"sources": [asdict(report) for report in reports], "failed": failures}):
        columns = ("source", "added", "replaced", "unchanged", "rights_changed", "removed", "for_nobody", "seconds")
        terminal.show_table(
            [column.replace("_", " ") for column in columns],
            [
                [f"{value:.1f}" if isinstance(value := getattr(it, column), float) else value for column in columns]
                for it in reports
            ],
        )
        for report in reports:
            for line in report.refused:
                terminal.show_note(f"refused: {line}")
            if report.kept_back:
                terminal.show_note(
                    f"{report.source} no longer lists {report.kept_back} documents that are here, more than [sources] most_gone allows at "
                    "once. Nothing was taken out. If it is so, raise most_gone for one sync."
                )
        for one, why in failures.items():
            terminal.show_note(f"{one} could not be read, and everything of it stays as it was: {why}")
    exit_unless(ok=not failures and not any(report.kept_back for report in reports))
