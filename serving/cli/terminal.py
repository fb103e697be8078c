"""Output on a terminal. Text of models, documents and callers is escaped, never taken as markup."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from foundation.errors import InvalidSetting, SixplyError
from foundation.output import rendering
from observability.rendering import formatting

if TYPE_CHECKING:
    from orchestration.events import Answer, Event, Turn

LINE_EVERY_S = 30.0
BANDS = {
    "answered": "[green]answered[/]",
    "closest": "[yellow]closest passages, which may not answer it[/]",
    "not_found": "not found",
}
HOW = {
    "extractive": "quoted from the documents",
    "generative": "written by the model",
    "tool": "with a tool",
    "none": "",
}


def console() -> Console:
    """Return a console for standard output."""
    # files and pipes have no width: their lines are not broken
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 200
    return Console(highlight=False, width=width)


def is_asked() -> bool:
    """Whether somebody can be asked on a terminal."""
    return sys.stdin.isatty()


def plain(text: object) -> str:
    """Return `text` without terminal control sequences, escaped for rich."""
    return escape(rendering.plain(text))


def line(text: object) -> str:
    """Return `text` like `plain`, on one line, for titles and names."""
    return escape(rendering.one_line(text))


def show(what: RenderableType) -> None:
    console().print(what)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    show(formatting.grid(columns, rows))


def show_rows(rows: Iterable[object], columns: str, cells: str) -> None:
    """Print a table. `columns` are headings, `cells` formats of a row as for `str.format`, separated by " | "."""
    forms = cells.split(" | ")
    show_table(columns.split(" | "), ([form.format(row) for form in forms] for row in rows))


def show_refused(refused: Iterable[Mapping[str, str]]) -> None:
    """Print refused documents, and once below them the formats that each message about an unknown format lists."""
    parts = [(row["uri"], row["reason"], *row["message"].partition(" Supported: ")) for row in refused]
    show_table(["refused", "reason", "what it says"], [part[:3] for part in parts])
    for formats in dict.fromkeys(part[4] for part in parts if part[4]):
        show_note(f"Supported: {formats}")


def make_step_printer() -> Callable[[Event], None]:
    """Return a listener that prints each finished step; before the first, how to continue if this process is ended."""
    out, begun_threads = console(), set[str | None]()

    def show_step(event: Event) -> None:
        if (step := event.step) is None:
            return
        if not begun_threads:
            begun_threads.add(event.thread_id)
            out.print(f"[dim]If interrupted, rerun with THREAD={plain(event.thread_id)} to resume.[/]")
        out.print(f"[dim]{step.ms:8.0f} ms  {plain(step.name)} {step.outcome}  {plain(step.detail)}[/]")

    return show_step


def near_titles(answer: Answer | Turn) -> str:
    """Return the titles of the nearest documents."""
    return ", ".join(document.title for document in answer.nearest)


def show_answer(answer: Answer, *, plan: bool = False) -> None:
    """Print the answer's text, its citations, cost and time, and how to continue; with `plan`, the plan first."""
    out = console()
    if plan and answer.plan:
        out.print()
        out.print(plan_table(answer.plan))
        out.print()
    out.print(plain(answer.text))
    for cited in answer.citations:
        place = f"characters {cited.start} to {cited.end}" + (f", page {cited.page}" if cited.page else "")
        place += f", rights as of {cited.rights_at:.16} UTC" if cited.rights_at else ""
        title = "" if cited.title in ("", cited.uri) else f"{line(cited.title)} · "
        out.print(f"[dim]\\[{cited.marker}][/] {title}[dim]{line(cited.uri)}, {place}[/]")
    if answer.nearest:
        out.print(f"Nearest: {line(near_titles(answer))}")
    out.print()
    for worse in answer.degraded:
        out.print(f"[yellow]degraded[/]  {plain(worse)}")
    for unknown in answer.cost_notes:
        out.print(f"[dim]{plain(unknown)}[/]")
    if answer.as_of:
        out.print(f"[dim]from the versions in force on {answer.as_of}[/]")
    stands = BANDS[answer.band] if answer.band else answer.status
    sure = "" if answer.confidence is None else f"{answer.confidence:.0%} sure"
    facts = [stands, sure, HOW[answer.path], format_price(answer.cost_usd), f"{answer.seconds:.2f} s"]
    out.print(f"[dim]{' · '.join(filter(None, facts))}[/]")
    out.print(f"[dim]answer {plain(answer.answer_id)} · follow up with THREAD={plain(answer.thread_id)}[/]")
    if answer.trace_id:
        out.print(f"[dim]see what happened: make trace ID={answer.trace_id[:12]}[/]")
    if (waiting := answer.approval) is not None and answer.status == "waiting":
        call = plain(f"{waiting.tool}({format_arguments(waiting.arguments)})")
        out.print(f"[yellow]waiting[/]   {call} needs an approver's yes:")
        out.print(f"          make approve ID={plain(waiting.approval_id)} TENANT={plain(waiting.tenant)}")


def format_arguments(arguments: Mapping[str, Any]) -> str:
    """Format a call's arguments for a person."""
    return ", ".join(f"{name}={value}" for name, value in arguments.items())


def plan_table(plan: Mapping[str, Any]) -> Table:
    """Return a table with a row per step of an agent's plan, and what any of them says in a column."""
    steps = plan.get("steps", ())
    said = dict.fromkeys(name for step in steps for name, value in step.items() if value)
    table = formatting.grid([*said], [[_told(step.get(name)) for name in said] for step in steps])
    table.title, table.title_justify = f"[dim]{plain(plan.get('reason', ''))}[/]", "left"
    return table


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return format_arguments(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")


def show_error(error: SixplyError) -> None:
    """Print the error's text on standard error."""
    _print_beside(f"[red]{plain(error)}[/]")


def show_note(text: str) -> None:
    """Print a note beside the answer, on standard error."""
    _print_beside(f"[yellow]{plain(text)}[/]")


def _print_beside(text: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text)


def write_json(path: Path | None, content: Any) -> bool:
    """Write `content` to `path`; return whether it took standard output (`-`). Raises InvalidSetting."""
    if path is None:
        return False
    text = json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n"
    if str(path) == "-":
        # a text of a document can hold half a surrogate pair, which no terminal takes
        sys.stdout.write(text.encode("utf-8", "replace").decode())
        return True
    write_text(path, text)
    return False


def write_text(path: Path, text: str) -> None:
    """Write a report to a file. Raises InvalidSetting: the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise InvalidSetting(f"Cannot write {path}: {error.strerror}. Name another file.") from error


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar on standard error, or without a terminal a line now and then; yield (step, done, total) -> None."""
    errors, last_told_s = Console(stderr=True), time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    tasks: dict[str, Any] = {}
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:

        def advance(what: str, done: int, total: int) -> None:
            nonlocal last_told_s
            if not errors.is_terminal and time.monotonic() - last_told_s >= LINE_EVERY_S:
                last_told_s = time.monotonic()
                errors.print(plain(f"{what}: {done} of {total}"))
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done)

        yield advance


def format_price(amount: Decimal | float | None) -> str:
    """Format the price of an answer; never 0 for one that is not known."""
    return "unpriced" if amount is None else f"${amount:.6f}"
