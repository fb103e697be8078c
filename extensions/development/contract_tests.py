"""`sixply contracts`: run the contract tests of the ports on chosen parts, with the results as sentences."""

import io
import json as jsons
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import typer
from pydantic import SecretStr

from extensions.development import paid_calls, ports
from extensions.development.paid_calls import Paid
from extensions.development.ports import Port
from foundation import components
from foundation.errors import InvalidRequest, MissingDependency
from foundation.settings import Part
from serving.cli import terminal
from serving.cli.options import STACK, Json, Stack, exit_unless, load_stack
from serving.settings import Settings

# their tests write and clear: these never get the address of the store in stack.toml
STORES = ("retrieval.ledger", "retrieval.vectors", "orchestration.checkpoints", "serving.cache")
UNRAISED = "DID NOT RAISE "  # what pytest says of it
MARKS = {
    "kept": "[green]kept[/]       ",
    "broken": "[bold red]broken[/]     ",
    "not claimed": "[dim]not claimed[/]",
    "not tested": "[yellow]not tested[/] ",
}


@dataclass(frozen=True)
class Promise:
    """The result of one test on one part."""

    port: str
    adapter: str
    promise: str
    outcome: str
    reason: str = ""
    test: str = ""
    seconds: float = 0.0


def contracts(
    port: Annotated[str | None, typer.Option(help="A port, such as retrieval/vectors; all by default.")] = None,
    name: Annotated[
        str | None, typer.Option(help="An adapter, my_pkg.acme:build, or all; by default the configured one.")
    ] = None,
    options: Annotated[str | None, typer.Option(help="Its options, as a JSON object.")] = None,
    *,
    paid: Paid = False,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Run a port's contract tests on a part."""
    exit_unless(ok=run(load_stack(stack).settings, port, name, options=options, json=json, paid=paid))


def run(
    settings: Settings,
    port: str | None,
    name: str | None,
    *,
    options: str | None = None,
    json: Path | None,
    paid: bool = False,
) -> bool:
    """Run the contract tests. Return whether at least one promise was tested and all of these were kept.

    `name` is an adapter of the port, one from elsewhere (`my_pkg.acme:build`), or `all`; without it the configured parts
    are tested, those with paid calls where `paid` or the person who is asked says so. Raises ConfigurationError: there is no
    such part, or its options are not valid. InvalidRequest: no such port, no contract tests here, or options that are no JSON
    object. MissingDependency: pytest is not installed.
    """
    if name and name != "all" and not port:
        raise InvalidRequest(f'"{name}" of which port? Name it: PORT=retrieval.vectors NAME={name}.')
    named = [ports.port(port)] if port else [Port(port_name) for port_name in ports.CONTRACTS]
    chosen = [tested for tested in named if tested.suite.exists()]
    if missing := ", ".join(str(tested.suite) for tested in named if tested not in chosen):
        if not chosen:
            raise InvalidRequest(f"No contract tests at {missing}. Run from the repository's root.")
        terminal.show_note(f"Not tested, as this project goes without their tests: {missing}.")
    parts = {tested.name: _parts(settings, tested, name, _object(options)) for tested in chosen}
    # a misspelt name is one clear error, not fifty failures
    for tested in chosen:
        for part in parts[tested.name] if tested.name in components.PORTS else ():
            components.options_of(tested.name, part["use"])
    telling = Telling(parts, quiet=str(json) == "-")
    if not paid:
        _leave_out_paid(settings, parts, telling)
    files = [str(tested.suite) for tested in chosen if parts[tested.name]]
    code = _pytest(files, parts, telling) if files else 0
    counts = Counter(promise.outcome for promise in telling.promises)
    if not terminal.write_json(json, {**counts, "promises": [asdict(promise) for promise in telling.promises]}):
        summary = ", ".join(f"{counts[outcome]} {outcome}" for outcome in MARKS if counts.get(outcome))
        why = "no suite has a test for this part" if code in (0, 5) else "pytest could not run them, and says above why"
        terminal.show(f"\n{summary or f'No promise was tested: {why}.'}")
    return code == 0 and counts["kept"] > 0 and not counts["broken"]


def _leave_out_paid(settings: Settings, parts: dict[str, list[dict[str, Any]]], telling: "Telling") -> None:
    """Take out of `parts` those whose tests make paid calls, unless the person who is asked says yes."""
    told = {
        (port, part["use"]): cost
        for port, chosen in parts.items()
        for part in chosen
        if (cost := paid_calls.describe_cost(settings, port, part))
    }
    costs = "; ".join(f"[{port}] {use}: {cost}" for (port, use), cost in told.items())
    if not told or (not telling.quiet and terminal.is_asked() and typer.confirm(f"{costs}. Make them?", err=True)):
        return
    for (port, use), cost in told.items():
        parts[port] = [part for part in parts[port] if part["use"] != use]
        telling.add(Promise(port, use, paid_calls.PROMISE, "not tested", f"{cost}. PAID=1 makes them"))


class Telling:
    """A pytest plug-in that selects the tests of the chosen parts, and reports each result as a sentence."""

    def __init__(self, parts: Mapping[str, Sequence[Mapping[str, Any]]], *, quiet: bool = False) -> None:
        self.promises: list[Promise] = []
        self._ports = {str(Port(name).suite): name for name in parts}
        self._names = {name: {part["use"] for part in chosen} for name, chosen in parts.items()}
        self._sentences: dict[str, tuple[str, str, str]] = {}
        self.quiet = quiet
        self._headline = ""
        self._said: dict[str, str] = {}
        """Explanations of failed tests by test id, where these say more than the report's own line."""

    def pytest_runtest_makereport(self, item: Any, call: Any) -> None:
        if call.excinfo is not None and (sentence := _sentence_of_failure(call.excinfo)):
            self._said.setdefault(item.nodeid, sentence)

    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        selected = [item for item in items if self._concerns(item)]
        gone = [item for item in items if item.nodeid not in self._sentences]
        if gone:
            config.hook.pytest_deselected(items=gone)
        items[:] = selected

    def _concerns(self, item: Any) -> bool:
        """Whether the test is about a chosen part: one of its parameters is the part's name."""
        port = self._ports.get(item.nodeid.partition("::")[0], "")
        params = getattr(getattr(item, "callspec", None), "params", {})
        adapter = next((it for it in params.values() if isinstance(it, str) and it in self._names[port]), None)
        if adapter is not None:
            self._sentences[item.nodeid] = (port, adapter, _sentence(item, params, adapter))
        return adapter is not None

    def pytest_report_teststatus(self, report: Any) -> tuple[str, str, str] | None:
        return (report.outcome, "", "") if report.when == "call" or report.skipped else None

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.nodeid in self._sentences and (report.when == "call" or not report.passed):
            port, adapter, sentence = self._sentences[report.nodeid]
            outcome, reason = _outcome(report)
            reason = self._said.get(report.nodeid, reason) if outcome == "broken" else reason
            self.add(Promise(port, adapter, sentence, outcome, reason, report.nodeid, round(report.duration, 3)))

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            port = self._ports.get(report.nodeid, report.nodeid)
            self.add(Promise(port, "", "can be tested", "broken", str(report.longrepr).splitlines()[-1]))

    def add(self, promise: Promise) -> None:
        """Keep the promise, and print it unless told to be quiet."""
        self.promises.append(promise)
        if self.quiet:
            return
        out, part = terminal.console(), f"{promise.port} {promise.adapter}"
        if part != self._headline:
            self._headline = part
            out.print(f"\n[bold]{terminal.plain(part)}[/]")
        line = f"  {MARKS[promise.outcome]} {terminal.plain(promise.promise)}"
        out.print(f"{line}  [dim]{terminal.plain(promise.reason)}[/]" if promise.reason else line)


def _sentence(item: Any, params: Mapping[str, Any], adapter: str) -> str:
    # a function made inside of another is a case of the test, with no name for people
    functions = [it for it in params.values() if hasattr(it, "__code__") and "<" not in it.__qualname__]
    promise = next(iter(functions), None)
    tail = [str(value) for value in params.values() if value is not promise and value != adapter]
    name = promise.__name__ if promise else item.originalname.removeprefix("test_")
    simple = [value for value in tail if len(value) < 40 and " at 0x" not in value]
    return f"{name.replace('_', ' ')}{' (' + ', '.join(simple) + ')' if simple else ''}"


def _outcome(report: Any) -> tuple[str, str]:
    if report.skipped:
        reason = getattr(report, "wasxfail", "") or report.longrepr[2].removeprefix("Skipped: ")
        from_outside = hasattr(report, "wasxfail") or "langchain_tests" in report.longrepr[0]
        unclaimed = from_outside or reason.startswith("not claimed")
        return ("not claimed", reason.removeprefix("not claimed: ")) if unclaimed else ("not tested", reason)
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        text = crash.message if crash else str(report.longrepr)
        return "broken", next((line for line in text.splitlines() if line.strip()), "").strip()
    return "kept", ""


def _sentence_of_failure(failure: Any) -> str | None:
    """Return what a failure's own line leaves out, if anything."""
    error = failure.value
    if isinstance(error, NotImplementedError):
        # the method that was called first: the cleanup after it is seldom written either
        while isinstance(error.__context__, NotImplementedError):
            error = error.__context__
        return f"{type(error).__name__}: {error}"
    first = str(error).partition("\n")[0]
    if first.startswith(UNRAISED):
        expected = first.removeprefix(UNRAISED).removeprefix("any of ")
        inside = [entry for entry in failure.traceback if not entry.frame.f_locals.get("__tracebackhide__")]
        return (
            f"it must raise {expected} here, and raised nothing: {inside[-1].path.name}, line {inside[-1].lineno + 2}"
        )
    if isinstance(error, AssertionError) and first.startswith("assert "):
        asserted = str(failure.traceback[-1].statement).splitlines()[0].strip()
        return f"{asserted}  (found: {first.removeprefix('assert ')})"
    return None


def _pytest(files: Sequence[str], parts: Mapping[str, Any], told: Telling) -> int:
    try:
        import pytest
    except ModuleNotFoundError as error:
        raise MissingDependency("Contract tests need pytest, which is not installed. Run make contracts.") from error
    arguments = [*files, "-qq", "--no-header", "--no-summary", "--show-capture=no", "--tb=line"]
    arguments += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # a plug-in's package was imported with the part
    arguments += ["-p", "no:randomly", "-p", "no:cacheprovider", "-c", "pyproject.toml"]
    with patch.dict(os.environ, CONTRACT_PARTS=jsons.dumps(parts)):
        # a person's own are for the tests that they run by hand
        for name in ("ADDOPTS", "PLUGINS", "DISABLE_PLUGIN_AUTOLOAD"):
            os.environ.pop(f"PYTEST_{name}", None)
        with redirect_stdout(io.StringIO()) if told.quiet else nullcontext():
            return int(pytest.main(arguments, plugins=[told]))


def _parts(settings: Settings, port: Port, name: str | None, given: dict[str, Any]) -> list[dict[str, Any]]:
    configured = port.configured_parts(settings)
    if name == "all" or (name is None and not configured):
        return [{"use": adapter} for adapter in components.available(port.name)]
    chosen = [part for part in configured if name in (None, part.use)] or [Part(use=str(name))]
    own = [{} if port.name in STORES else {key: _plain(it) for key, it in part.options.items()} for part in chosen]
    return [{"use": part.use} | options | given for part, options in zip(chosen, own, strict=True)]


def _plain(value: Any) -> Any:
    # secrets in the clear: the tests get them by an environment variable
    return (
        value.get_secret_value() if isinstance(value, SecretStr) else str(value) if isinstance(value, Path) else value
    )


def _object(options: str | None) -> dict[str, Any]:
    try:
        parsed = jsons.loads(options or "{}")
    except ValueError as error:
        raise InvalidRequest(f'The options are not JSON: {error}. Write OPTIONS=\'{{"url": "..."}}\'.') from error
    if not isinstance(parsed, dict):
        raise InvalidRequest(f'The options are no JSON object: {options}. Write OPTIONS=\'{{"url": "..."}}\'.')
    return parsed
