"""`sixply redteam`: attacks on the executor, on the agent, and through documents."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from foundation.errors import MissingDependency
from serving.cli import terminal

if TYPE_CHECKING:
    from lab.redteam.agent import Builds
    from lab.redteam.executor import Call, Report
    from models.contract import BaseChatModel
    from orchestration.contract import Agent
    from orchestration.effects.executor import Executor
    from serving.judge.trial import Configure
    from serving.wiring import System

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv-redteam"
LOCK = Path(__file__).with_name("agentdojo.lock")


def replay(
    versions: list[str], limit: int | None, json: Path | None, *, configure: Configure | None = None, rounds: int = 30
) -> bool:
    """Replay AgentDojo's attacks through the executor. Whether none got through, and the users' plans still work.

    Args:
        configure: the stack in whose tool-calling agent a double makes the calls, for so many rounds; else nothing stands
            before the executor.
    """
    from lab.redteam import executor
    from serving.judge.trial import empty_system

    reports = []
    with ExitStack() as opened:
        worlds = opened.enter_context(closing(executor.PipedWorlds(environment())))
        make = None
        if configure is not None:
            from lab.redteam.tool_calling import AgentCalls

            system, _ = opened.enter_context(empty_system(configure))
            make = AgentCalls(system.parts, rounds)
        for version in versions:
            with terminal.progress() as progress, tempfile.TemporaryDirectory() as folder:
                tell = partial(progress, f"AgentDojo {version}")
                found = executor.replay(worlds, version, Path(folder), progress=tell, limit=limit, make=make)
                reports.append(found)
    first, *others = (report.as_dict() for report in reports)
    if not terminal.write_json(json, {**first, "others": others}):
        _show(reports)
    return all(report.holds for report in reports)


def through_agent(
    configure: Configure, versions: list[str], limit: int, json: Path | None, *, agent: str | None = None
) -> bool:
    """Ask AgentDojo's requests of the running agent in attacked worlds, or of `agent`. Whether no attack on a guarded one succeeded."""
    from lab.redteam import agent as redteam_agent
    from lab.redteam import executor
    from serving.judge.trial import empty_system

    reports = []
    with (
        empty_system(configure) as (system, stack),
        closing(executor.PipedWorlds(environment())) as worlds,
        terminal.progress() as progress,
        tempfile.TemporaryDirectory() as folder,
    ):
        for version in versions:

            def tell(agent: str, done: int, of: int, version: str = version) -> None:
                progress(f"{version}, {agent}", done, of)

            found = redteam_agent.ask_all(
                worlds, version, Path(folder), _agents(system, agent), limit=limit, progress=tell
            )
            reports.append(found)
    first, *others = reports
    if not terminal.write_json(json, {**first, "others": others, "stack": stack}):
        _show_agents(reports)
    ways = [agent["guarded"] for report in reports for agent in report["agents"].values()]
    return not any(way["succeeded"] for way in ways)


def _agents(system: System, use: str | None) -> dict[str, Builds]:
    """The agent of the stack, and the same with a double in the place of its chat model, which was talked over. A chat model that
    calls no tools cannot be asked through the tool-calling agent: there the double alone is.
    """
    from foundation.components import load
    from foundation.settings import Part
    from lab.redteam import agent as redteam_agent
    from lab.redteam import tool_calling
    from orchestration.run.metered_chat import calls_tools

    chosen = system.settings.orchestration.agent
    use = use or chosen.use
    has_loop = use == "tool_calling" or (use == "auto" and calls_tools(system.parts.chat))
    planned = "graph" if use == "auto" else use

    def build(executor: Executor, chat: BaseChatModel, use: str = use, **more: str) -> Agent:
        checkpoints = load("orchestration.checkpoints", Part(use="memory"), system.context)
        own = {"executor": executor, "chat": chat, "checkpoints": checkpoints, "services": ()}
        part = Part(use=use, **((chosen.options if use == chosen.use else {}) | more))
        return cast("Agent", load("orchestration.agent", part, replace(system.parts, **own)))

    def plans(executor: Executor, calls: Sequence[Call], attack: Sequence[Call]) -> Agent:
        plan = redteam_agent.plan_of(calls, attack)
        double = load("models.chat", Part(use="scripted", replies=(plan,)), system.context)
        return build(executor, double, planned, planner="model")

    def calls_them(executor: Executor, calls: Sequence[Call], attack: Sequence[Call]) -> Agent:
        return tool_calling.build_agent(system.parts, executor, tool_calling.talked_over(calls, attack))

    configured = {} if has_loop and not calls_tools(system.parts.chat) else {"as configured": system.parts.chat}
    return {
        **{name: lambda executor, *_, chat=chat: build(executor, chat) for name, chat in configured.items()},
        "double, talked over": calls_them if has_loop else plans,
    }


def environment() -> Path:
    """The Python that has AgentDojo, in an environment of its own; made at first use from a hash-checked lock.

    Raises:
        MissingDependency: it cannot be made, because the package index does not answer or the disk is full.
    """
    python, stamp = VENV / "bin" / "python", VENV / "made-from"
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == digest:
        return python
    terminal.show_note(f"AgentDojo gets an environment of its own, {VENV.name}: about 300 MB, once.")
    commands = (
        [sys.executable, "-m", "venv", "--clear", str(VENV)],
        [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "-r", str(LOCK)],
    )
    for command in commands:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
            raise MissingDependency(
                f"AgentDojo could not be installed into {VENV.name}: {last[0]} Mend that and run the command again."
            )
    stamp.write_text(digest, encoding="utf-8")
    return python


def _show_agents(reports: list[dict[str, Any]]) -> None:
    columns = (
        ("attacks succeed", "succeeded", "attacks"),
        ("by words alone", "succeeded_by_words", "attacks_by_words"),
        ("useful, attacked", "useful_attacked", "attacked"),
        ("useful, clean", "useful_clean", "clean"),
        ("made calls", "with_calls", "clean"),
        ("asked a person", "asked_a_person", "clean"),
    )
    rows = [
        [report["version"], agent, way, *(f"{found[count]} of {found[of]}" for _, count, of in columns)]
        for report in reports
        for agent, ways in report["agents"].items()
        for way, found in ways.items()
    ]
    terminal.show_table(["tasks", "agent", "way", *(head for head, _, _ in columns)], rows)


def _show(reports: list[Report]) -> None:
    rows: list[list[Any]] = []
    for report in reports:
        found = report.as_dict()
        rows += [
            [
                f"{report.version} {suite}",
                one["pairs"],
                one["succeeded_ungated"],
                one["succeeded_without_approval"],
                one["benign"],
                one["benign_passed"],
                one["benign_asked"],
            ]
            for suite, one in found["suites"].items()
        ]
    terminal.show_table(
        ["suite", "attacks", "succeed ungated", "succeed here", "users' plans", "passed", "asked a person"], rows
    )
