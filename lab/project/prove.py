"""What is checked in a project before it is called whole: its guards, its tests, its API, a first answer from its own documents."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from extensions.development.paid_calls import PROMISE as PAID
from foundation import extensions
from serving.cli import terminal

ANSWERS_ARE_COMPARED = "its answers before and after are compared"
NO_SCORE_FELL = "no score fell"
CONTRACTS_ARE_KEPT = "its parts keep their contracts (minutes)"
EXCUSED = (CONTRACTS_ARE_KEPT, NO_SCORE_FELL)
"""Checks that tell apart what an update broke and what was broken before."""
PYTHON = [sys.executable, "-m"]
GATE = "serving/cli/judge/gate.py"
STARTS = """
from pathlib import Path
from serving.access.identity import KeyStore
from serving.app import create_app
from serving.cli.main import run
from serving.settings import load
from serving.wiring import open_system

def start():
    with open_system(load(Path("stack.toml"))) as system:
        KeyStore.of(system.settings, system.context.clock).create(subject="a", tenant="a", roles=["reader"])
        create_app(system)

run(start)  # what is wrong with stack.toml is a sentence
"""


def prove(project: Path, package: str, level: str, weights: Path, *, was: Path | None = None) -> bool:
    """Run the checks of that level (0, start, 1, all) in the project with the packages that run this, and print what each says. `was`: the
    project before an update, which is not blocked by what was broken there; its answers are held against those of today.
    """
    out = terminal.console()
    with _weights_lent(project, weights), tempfile.TemporaryDirectory() as data:
        for about, command in _commands(project, package, level, Path(data), was):
            began = time.monotonic()
            with out.status(about):  # in a terminal; types and tests take minutes
                done = _run(project, command, data)
            told = paid_calls(done.stdout) if about == CONTRACTS_ARE_KEPT and terminal.is_asked() else ""
            if told and typer.confirm(f"  {told}. Make them?", err=True):
                done = _run(project, [*command, "--paid"], data)
            excuse = _excuse(about, done.stdout, was, data, command) if done.returncode else ""
            compares = about == ANSWERS_ARE_COMPARED  # it shows what an update changes; the gate decides
            failed = done.returncode and not (excuse or compares)
            no_verdict = compares and done.returncode not in {0, 1}
            mark = "✗" if failed or no_verdict else "✓"
            out.print(f"  {mark} {about} ({time.monotonic() - began:.0f} s)")
            if about == CONTRACTS_ARE_KEPT and (told := paid_calls(done.stdout)):
                out.print(terminal.plain(f"    not tested: {told}"))
            if excuse:
                out.print(f"    but {excuse}")
            if compares:
                out.print(terminal.plain(done.stdout if done.stdout and not no_verdict else done.stderr[-3000:]))
            if no_verdict:
                out.print("    That blocks no update. What it changes in quality, time and money is not known.")
            if failed:
                broken = broken_promises(done.stdout) if about == CONTRACTS_ARE_KEPT else {}
                lines = [f"{': '.join(promise)}: {why}" for promise, why in broken.items()]
                if about == NO_SCORE_FELL:
                    lines = [
                        f"fell further than is allowed: {name}" for name in sorted(scores_that_fell(done.stdout) or ())
                    ]
                out.print(terminal.plain("\n".join(lines) or (done.stdout + done.stderr)[-3000:]))
                if was is not None and about not in EXCUSED and _run(was, command, data).returncode:
                    out.print("That failed before the update, too, so the update is not the cause. Mend it here first.")
                out.print(terminal.plain(f"That ran in {project}: {' '.join(command)}"))
                return False
    return True


def first_question(project: Path, package: str) -> str | None:
    """The first golden question of the project that its documents answer."""
    golden = project / package / "golden.jsonl"
    lines = golden.read_text(encoding="utf-8").splitlines() if golden.exists() else []
    questions = [case["question"] for case in map(json.loads, lines) if case.get("kind") == "answerable"]
    return str(questions[0]) if questions else None


def scores_that_fell(verdict: str) -> set[str] | None:
    """The figures that fell below the baseline, as the gate's JSON says it; `None` where that is none but an error."""
    try:
        return set(json.loads(verdict)["blocked_by"])
    except (ValueError, KeyError, TypeError):
        return None


def broken_promises(verdict: str) -> dict[tuple[str, str, str], str]:
    """Port, part and promise -> why it is broken, as the JSON of `contracts` says it; nothing where that is none."""
    try:
        promises = json.loads(verdict)["promises"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {(it["port"], it["adapter"], it["promise"]): it["reason"] for it in promises if it["outcome"] == "broken"}


def paid_calls(verdict: str) -> str:
    """What `contracts` has left out, and what it would have cost; empty where that is nothing."""
    try:
        promises = json.loads(verdict)["promises"]
    except (ValueError, KeyError, TypeError):
        return ""
    return "; ".join(f"[{it['port']}] {it['adapter']}: {it['reason']}" for it in promises if it["promise"] == PAID)


def _excuse(about: str, verdict: str, was: Path | None, data: str, gate: list[str]) -> str:
    """Why a check that failed blocks nothing; empty where it does."""
    if about == NO_SCORE_FELL and (fell := scores_that_fell(verdict)) is not None:
        if not fell:  # neither floors that were not met before nor too few cases block an update
            return "a floor of outcomes.toml is not met, or the cases are too few to tell: make gate says which"
        if was is None:
            return ""
        fell_before = scores_that_fell(_run(was, gate, data).stdout) or set()
        return "" if fell - fell_before else f"what fell had fallen before the update: {', '.join(sorted(fell))}"
    broken = broken_promises(verdict) if about == CONTRACTS_ARE_KEPT else {}
    if was is None or not broken:
        return ""
    before: set[tuple[str, str, str]] = set()
    for port in {port for port, _, _ in broken}:
        done = _run(was, [*PYTHON, "serving.cli", "contracts", "--port", port, "--json", "-"], data)
        before |= broken_promises(done.stdout).keys()
    return "" if broken.keys() - before else "what is broken was broken before the update: make contracts says it"


def _commands(
    project: Path, package: str, level: str, data: Path, was: Path | None = None
) -> Iterator[tuple[str, list[str]]]:
    """What each step is about, and its command."""
    if level == "0":
        return
    python = PYTHON
    # before what takes minutes: after an update stack.toml may have a setting that is gone, or an option that a part refuses
    yield "stack.toml is understood", [*python, "serving.cli", "keys"]
    yield "lint", [*python, "ruff", "check", "--no-cache", "--quiet", "."]
    yield "the API starts", [sys.executable, "-c", STARTS]
    if level == "start":
        return
    yield "layers", [str(Path(sys.executable).with_name("lint-imports"))]
    if was is not None:  # what was just written is what the template's own checks saw
        yield "format", [*python, "ruff", "format", "--no-cache", "--check", "--quiet", "."]
        yield "types (minutes, the first time)", [*python, "mypy"]
        yield "every test can be collected", [*python, "pytest", "--collect-only", "-qq"]
        if level != "all":  # the tests have them
            yield CONTRACTS_ARE_KEPT, [*python, "serving.cli", "contracts", "--json", "-"]
    if question := first_question(project, package):
        yield "the documents are taken in", [*python, "serving.cli", "ingest", f"{package}/corpus"]
        yield "the first question is answered", [*python, "serving.cli", "ask", question]
    yield from _comparisons(project, package, level, data, was)
    if level == "all":
        yield "its tests", [*python, "pytest", "-q", "--numprocesses=2", "--dist=loadfile"]


def _comparisons(
    project: Path, package: str, level: str, data: Path, was: Path | None
) -> Iterator[tuple[str, list[str]]]:
    """The same of the steps that compare answers. A project without a baseline gets one in `data`: its answers before the update, or
    its first.
    """
    compared, first = data / "swap.json", data / "baseline.json"
    if was and all("swap_report" in extensions.read_names(tree / "stack.toml") for tree in (project, was)):
        both = ["stack.toml", "--a", str(was / "stack.toml"), "--checkout", str(was)]
        yield (
            ANSWERS_ARE_COMPARED,
            [*PYTHON, "serving.cli", "swap-report", *both, "--repeats=1", "--json", str(compared)],
        )
        if compared.exists():
            first.write_text(
                json.dumps(json.loads(compared.read_text(encoding="utf-8"))["runs"]["a"]), encoding="utf-8"
            )
    if (project / GATE).exists():
        own = (project / package / "baseline.json").exists()
        if level == "all" and not own and not first.exists():
            yield "its answers are a baseline", [*PYTHON, "serving.cli", "gate", "--renew", "--baseline", str(first)]
        if own or first.exists():
            beside = [] if own else ["--baseline", str(first)]
            yield NO_SCORE_FELL, [*PYTHON, "serving.cli", "gate", "--json", "-", *beside]


def _run(project: Path, command: list[str], data: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("SIXPLY_", "MAKE", "MFLAGS"))
    }
    environment |= {"PYTHONPATH": str(project), "SIXPLY__FOUNDATION__DATA_DIR": data}
    return subprocess.run(
        command, cwd=project, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


@contextmanager
def _weights_lent(project: Path, ours: Path) -> Iterator[None]:
    """The project has no weights before its `make setup`, so it borrows those of the tree that runs this."""
    theirs = project / "weights"
    lent = ours.is_dir() and not theirs.exists()
    if lent:
        theirs.symlink_to(ours)
    try:
        yield
    finally:
        if lent:
            theirs.unlink()
