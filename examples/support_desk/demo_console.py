"""The demo's output: parts, checks, answers and tables, for a person who has never seen the project."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from foundation.types import LAYERS, Layer
from observability.rendering import formatting
from orchestration.events import Answer
from serving.cli.terminal import HOW, plain

INDENT = 3


@dataclass
class PartReport:
    """The result of one layer: checks that must hold, and figures for the report."""

    layer: Layer
    checks: dict[str, bool] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether all checks hold; false without any check."""
        return bool(self.checks) and all(self.checks.values())


class Stage:
    """The console and the current part."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.reports: list[PartReport] = []

    @contextmanager
    def part(self, layer: Layer, headline: str) -> Iterator[PartReport]:
        """Run one numbered part. Its errors pass through after the report has recorded the failure."""
        report = PartReport(layer)
        self.reports.append(report)
        self.console.print(f"\n[bold cyan]{LAYERS.index(layer) + 1}. {layer}[/]  [dim]{headline}[/]")
        begun = time.perf_counter()
        try:
            yield report
        except Exception:
            report.checks["ran to its end"] = False
            raise
        finally:
            report.seconds = time.perf_counter() - begun

    def check(self, promise: str, *, holds: bool, found: object = "") -> None:
        """Record and print whether a promise of the current part holds; `found` is printed only if it does not."""
        self.reports[-1].checks[promise] = holds
        mark = "[green]✓[/]" if holds else "[bold red]✗[/]"
        tail = "" if holds or found == "" else f"  [red]found: {plain(str(found))}[/]"
        self.print(f"{mark} {plain(promise)}{tail}")

    def say(self, label: str, value: object) -> None:
        self.print(f"[dim]{plain(f'{label:<12}')}[/] {plain(str(value))}")

    def print(self, markup: str = "") -> None:
        self.put(markup)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        if rows:
            self.put(formatting.grid(columns, rows))

    def put(self, what: RenderableType) -> None:
        self.console.print(Padding(what, (0, 0, 0, INDENT)), highlight=False)

    def show(self, answer: Answer) -> None:
        """Print an answer for a person: text, exact sources, path, time, money, trace."""
        self.print()
        self.print(f"[bold]“{plain(answer.question)}”[/]")
        self.print(plain(answer.text))
        for citation in answer.citations:
            page = f", page {citation.page}" if citation.page else ""
            place = f"{citation.uri}, characters {citation.start}–{citation.end}{page}"
            self.print(f"[dim]\\[{citation.marker}] {plain(place)}[/]")
        for loss in answer.degraded:
            self.print(f"[yellow]degraded: {plain(loss)}[/]")
        cost = "unpriced" if answer.cost_usd is None else f"${answer.cost_usd:.7f}"
        facts = (
            answer.status,
            HOW[answer.path],
            f"{answer.seconds * 1000:.0f} ms",
            cost,
            f"trace {(answer.trace_id or '-')[:12]}",
        )
        self.print(f"[dim]{' · '.join(filter(None, facts))}[/]")

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a bar that disappears at the end; yield a function that takes the number done."""
        bar = Progress(
            TextColumn(" " * INDENT + what),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        with bar:
            task = bar.add_task(what, total=total)
            yield lambda done: bar.update(task, completed=done)
