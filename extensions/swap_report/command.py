"""`sixply swap-report`: the same trials through two systems, in turns, each in a process of its own."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from extensions.swap_report import worker
from foundation.errors import InvalidSetting, SixplyError
from foundation.settings import read_stack
from serving.cli import terminal
from serving.cli.judge.gate import FIGURES, show_changes
from serving.cli.options import STACK, Html, Json, Limit
from serving.settings import Settings, load

if TYPE_CHECKING:
    from extensions.swap_report.compare import Comparison
    from observability.evaluation.baseline import Side
    from observability.evaluation.trials import Material

WORKER = "extensions/swap_report/worker.py"


def swap_report(
    b: Annotated[
        Path,
        typer.Argument(
            metavar="B", help="Another stack, or only the values that differ from A.", exists=True, dir_okay=False
        ),
    ],
    *,
    a: Annotated[
        Path, typer.Option(envvar="SIXPLY_STACK", help="The stack that B is held against.", exists=True, dir_okay=False)
    ] = STACK,
    data: Annotated[Path | None, typer.Option(help="A golden set, or a folder with qa.jsonl or queries.jsonl.")] = None,
    limit: Limit = None,
    repeats: Annotated[
        int,
        typer.Option(min=1, help="Times each question is asked; three or more absorb a spike of the machine."),
    ] = 3,
    checkout: Annotated[
        Path | None,
        typer.Option(help="A folder with another version of this code, on which A runs.", exists=True, file_okay=False),
    ] = None,
    json: Json = None,
    html: Html = None,
) -> None:
    """Ask two systems the same questions and compare. Exit status 1: B is worse; 3: one did not run."""
    try:
        code = report(a, b, data=data, limit=limit, repeats=repeats, json=json, html=html, checkout=checkout)
    except SixplyError as error:
        terminal.show_error(error)
        code = 3
    raise typer.Exit(code)


def report(
    a: Path,
    b: Path,
    *,
    data: Path | None,
    limit: int | None,
    repeats: int,
    json: Path | None,
    html: Path | None,
    checkout: Path | None = None,
) -> int:
    """Compare the system of `a` with that of `b`, or with its changes; return the exit code. Raises SixplyError."""
    from extensions.swap_report import compare, page
    from extensions.swap_report.questions import read_material

    if checkout is None:
        orders = [Order(a.name, a, {}), merge_onto(a, b)]
    elif (checkout / WORKER).is_file():
        orders = [Order(str(a), a.resolve(), {}, checkout), Order(b.name, b, {})]
    else:
        raise InvalidSetting(f"{checkout} has no {WORKER}, so it is no checkout of this code. Name a folder that is.")
    # report a mistake in B before A has worked for minutes; what another version of the code understands, that one says
    settings, *_ = [load(order.stack, overrides=order.changes).settings for order in orders if order.code is None]
    data = data or settings.observability.golden_set
    material = read_material(data, limit)
    ours, theirs = run(orders, material, data=data, limit=limit, repeats=repeats, home=settings.foundation.data_dir)
    comparison = compare.compare(ours, theirs, settings.observability.compare, seed=settings.foundation.seed)
    if html is not None:
        terminal.write_text(html, page.render_page(comparison, material.name))
    if not terminal.write_json(json, comparison.as_dict()):
        show(comparison)
        terminal.console().print(f"\n[bold]{comparison.verdict}[/]: {terminal.plain(comparison.reason)}")
    return comparison.exit_code


@dataclass(frozen=True)
class Order:
    """A system to measure: its stack, the changes to it, and the folder of its code, if it is not ours."""

    name: str
    stack: Path
    changes: Mapping[str, Any]
    code: Path | None = None


def merge_onto(a: Path, b: Path) -> Order:
    """Return `b` as it is if it has all sections of `a`, else its values merged into `a`."""
    ours, theirs = read_stack(a, Settings), read_stack(b, Settings)
    whole = ours.keys() - {"profiles"} <= theirs.keys()
    return Order(b.name, b, {}) if whole else Order(b.name, a, theirs)


def run(
    orders: Sequence[Order], material: Material, *, data: Path, limit: int | None, repeats: int, home: Path
) -> list[Side]:
    """Ask all systems each trial before the next one, in alternating order."""
    home.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened, terminal.progress() as progress:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="swap-", dir=home.resolve())))
        systems = []
        for number, order in enumerate(orders):
            progress("start and ingest", number, len(orders))
            systems.append(_System(order, folder / str(number), data, limit, opened))
        progress("start and ingest", len(orders), len(orders))
        turns = [trial for _ in range(repeats) for trial in range(len(material.trials))]
        for turn, trial in enumerate(turns):
            for system in systems if turn % 2 else reversed(systems):
                system.ask(trial)
            progress("ask", turn + 1, len(turns))
        return [system.finish() for system in systems]


class _System:
    """The process of one side, seen from the parent."""

    def __init__(self, order: Order, folder: Path, data: Path, limit: int | None, opened: ExitStack) -> None:
        folder.mkdir()
        self._order, self._complaints = order, folder / "complaints.txt"
        self._rows: list[dict[str, Any]] = []
        # spawned, so that each system has its own memory and cold start, and shares no cache
        pool = ProcessPoolExecutor(1, get_context("spawn"), worker.redirect_output, (self._complaints,))
        self._pool = opened.enter_context(pool)
        changes = {**order.changes, "foundation": {**order.changes.get("foundation", {}), "data_dir": str(folder)}}
        with _code_of(order):
            self._side = self._call(worker.open_side, order.stack, changes, data.resolve(), limit)

    def ask(self, trial: int) -> None:
        self._rows.append(self._call(worker.run_trial, trial))

    def finish(self) -> Side:
        from observability.evaluation.baseline import Side

        side = self._side
        figures = side["figures"] | self._call(worker.close_side)
        return Side(self._order.name, self._rows, side["corpus"], side["trials"], side["stack"], figures)

    def _call(self, work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
        try:
            return self._pool.submit(work, *arguments).result()
        except SixplyError as error:
            raise InvalidSetting(f"{self._order.name}: {error}") from None
        except BrokenProcessPool as error:
            lines = self._complaints.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            last = lines[-1] if lines else "it said nothing; the kernel ends what takes too much memory."
            raise InvalidSetting(f"{self._order.name}: Its process ended: {last}") from error
        except Exception as error:
            if self._order.code is None:
                raise
            words = f"{self._order.code}: Its code ended with {type(error).__name__}: {error}. See whether it runs there by itself."
            raise InvalidSetting(words) from error


@contextmanager
def _code_of(order: Order) -> Iterator[None]:
    """A spawned process starts with our working directory and module path, so the code of an order is put first there."""
    if order.code is None:
        yield
        return
    ours = sys.path[:]
    sys.path.insert(0, str(order.code.resolve()))
    try:
        with chdir(order.code):
            yield
    finally:
        sys.path[:] = ours


def show(comparison: Comparison) -> None:
    """Print both systems' figures, and the first cases that changed."""
    from extensions.swap_report.compare import DRAFTS

    rows = [(name, *figure.cells, figure.n, figure.verdict) for name, figure in comparison.metrics.items()]
    out = terminal.console()
    terminal.show_table([*FIGURES, ""], rows)
    if any(counts["n"] for counts in comparison.drafts.values()):
        drafts = [
            (words, comparison.drafts["a"][outcome], comparison.drafts["b"][outcome])
            for outcome, words in {"n": "in all", **DRAFTS}.items()
        ]
        out.print()
        terminal.show_table(["drafts of the chat model", "A", "B"], drafts)
    show_changes(comparison.changed)
    for note in comparison.notes:
        out.print(f"[dim]{terminal.plain(note)}[/]")
