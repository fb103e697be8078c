"""`sixply system-card`: collect the card's facts. No model is loaded and no store is locked."""

import json as jsons
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from foundation.clock import SystemClock
from foundation.components import checked_options
from foundation.errors import SixplyError
from foundation.machine import manifest
from foundation.settings import Part, flatten
from foundation.types import Principal
from orchestration.settings import EVERYBODY
from serving.cli import terminal
from serving.cli.judge.gate import BASELINE
from serving.cli.opening import build_ledger, open_hooks, open_parts
from serving.cli.options import STACK, Html, Json, Stack, exit_unless, load_stack
from serving.judge.trial import evaluation_file
from serving.settings import Loaded, Settings, configured_parts, context_of

RISKS = Path("risks.toml")
SYSTEM = ("version", "commit", "dirty", "manifest_id", "settings", "python", "platform", "seed")


def system_card(
    *,
    html: Html = None,
    register: Annotated[Path, typer.Option(help="The risk register.", dir_okay=False)] = RISKS,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Write the system card: what runs, what it may do, how well it measured, and the risks."""
    from extensions.plots.svg import render_page

    card = card_of(load_stack(stack), register)
    if html:
        terminal.write_text(html, render_page("extensions.governance", "system_card.html", card=card))
    if not terminal.write_json(json, card):
        _show(card)
    exit_unless(ok=not card["gone"])


def card_of(loaded: Loaded, register: Path) -> dict[str, Any]:
    from extensions.governance import figures, risk_register
    from models import weights
    from serving.hooks import Place

    settings = loaded.settings
    named = weights.named_in([*settings.models.parts, settings.orchestration.agent], context_of(settings).stack_dir)
    digests = weights.digests(named, data_dir=settings.foundation.data_dir)
    run = manifest.build(settings, weights=digests, corpus=None, clock=SystemClock())
    last, baseline = evaluation_file(settings), settings.observability.golden_set / BASELINE
    report = jsons.loads(last.read_text(encoding="utf-8")) if last.is_file() else None
    before = jsons.loads(baseline.read_text(encoding="utf-8"))["rows"] if baseline.is_file() else []
    risks = risk_register.load_register(register)
    with open_hooks(settings) as hooks:
        of_extensions: dict[str, Mapping[str, Any]] = {
            panel.name: panel.read("")[0] for panel in hooks.panels if panel.place is Place.SYSTEM
        }
    return {
        "system": {name: getattr(run, name) for name in SYSTEM}
        | {f"library {name}": version for name, version in run.libraries.items()},
        "models": models_of(settings, digests),
        "data": _data(settings),
        "tools": list(_tools(settings)),
        "rules": dict(_rows(settings.orchestration.policy.model_dump(mode="json"))),
        "limits": limits_of(settings),
        "retention": {name: days or "for good" for name, days in settings.foundation.retention.items()},
        "extensions": of_extensions,
        "evaluation": figures.figures(report, before),
        "evaluated": f"Last evaluated {datetime.fromtimestamp(last.stat().st_mtime, UTC):%Y-%m-%d %H:%M}."
        if report
        else "Not evaluated here yet: make evaluate.",
        "known_limits": figures.known_limits(report, risks),
        "register": risks.model_dump(mode="json"),
        "gone": risk_register.find_gone(risks, manifest.ROOT, Settings),
    }


def _data(settings: Settings) -> dict[str, Any]:
    chosen = settings.retrieval
    facts: dict[str, Any] = {"ledger": chosen.ledger.use, "index": chosen.vectors.use, "chunker": chosen.chunker.use}
    with open_parts(settings) as parts:
        ledger = build_ledger(settings, parts)
        facts |= {"documents": ledger.document_count(), "passages": ledger.chunk_count()}
        if index := ledger.fingerprint():
            facts |= {"embedded by": index.embedder, "dimensions": index.dimensions, "cut by": index.chunker}
    return facts


def _tools(settings: Settings) -> Iterator[dict[str, Any]]:
    from orchestration.effects.policy import Policy

    policy = settings.orchestration.policy
    rules, people = Policy(policy), {role: Principal("anybody", EVERYBODY, frozenset({role})) for role in policy.roles}
    for part in settings.orchestration.tools:
        try:
            with open_parts(settings) as parts:
                for tool in parts.part("orchestration.tools", part):
                    declared = tool.metadata or {}
                    effect = declared.get("effect", True)
                    may_act = tool.name in policy.effects_without_approval
                    approval = "never" if not effect else "unless in the person's own words" if may_act else "always"
                    yield {
                        "name": tool.name,
                        "does": tool.description.partition("\n")[0],
                        "effect": effect,
                        "reach": declared.get("reach", "outward") if effect else "",
                        "roles": [role for role, it in people.items() if rules.tool(tool.name, it).allowed],
                        "approval": approval,
                    }
        except SixplyError as error:
            does = f"cannot be asked: {error}"
            yield {"name": part.use, "does": does, "effect": True, "reach": "", "roles": [], "approval": ""}


def _show(card: Mapping[str, Any]) -> None:
    def show_section(title: str, columns: str, rows: Iterable[Sequence[object]]) -> None:
        terminal.show(f"\n[bold]{title}[/]")
        terminal.show_table(columns.split(" | "), rows)

    facts = {name: card[name] for name in ("system", "data", "rules", "limits", "retention")} | card["extensions"]
    for name, known in facts.items():
        rows = [(key, ", ".join(map(str, it)) if isinstance(it, list) else it) for key, it in known.items()]
        show_section(name, " | ", rows)
    show_section("models", "port | part | model", [(row["port"], row["part"], row["model"]) for row in card["models"]])
    tools = [
        (
            row["name"],
            "yes" if row["effect"] else "no",
            row["reach"],
            ", ".join(row["roles"]) or "nobody",
            row["approval"],
        )
        for row in card["tools"]
    ]
    show_section("tools", "tool | effect | reach | roles | approval", tools)
    figures = [(row["words"], _figure(row["last"]), _figure(row["baseline"])) for row in card["evaluation"]]
    show_section(f"evaluation[/]  {card['evaluated']}[bold]", "measure | last | baseline", figures)
    show_section("known limits", "", [[limit] for limit in card["known_limits"]])
    listed = card["register"]["risks"]
    risks = [(row["risk"], "; ".join(it["what"] for it in row["controls"]), row["residual"]) for row in listed]
    show_section("risks", "risk | controls | what stays", risks)
    for row in card["gone"]:
        terminal.show(f"[red]gone[/] {terminal.plain(row)}")
    if card["gone"]:
        terminal.show("\nCorrect these in the register, or take the control out that has lost its code or its test.")


def _figure(mean: Any) -> str:
    return "" if mean is None else f"{mean['mean']:.3f} [{mean['low']:.3f}, {mean['high']:.3f}] n={mean['n']}"


def models_of(settings: Settings, weights: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the configured part of each port of layer 2, and the bundled weight files."""
    rows = [
        {"port": port.removeprefix("models."), "part": part.use, "model": _model_of(port, part)}
        for port, part in configured_parts(settings)
        if port.startswith("models.")
    ]
    return rows + [{"port": "weights", "part": name, "model": f"sha256 {digest}"} for name, digest in weights.items()]


def _model_of(port: str, part: Part) -> str:
    checked = checked_options(port, part)
    values = part.options if checked is None else checked.model_dump()
    named = [key for key in ("model", "path", "weights") if key in values]
    return next((str(values[key]) for key in named if values[key]), "the bundled one" if named else "none")


def limits_of(settings: Settings) -> dict[str, Any]:
    """Return the limits of a run, a day or a request."""
    sections = {
        "budget": settings.orchestration.budget,
        "answers": settings.orchestration.answers,
        "grounding": settings.retrieval.grounding,
        "resilience": settings.models.resilience,
        "parsing": settings.retrieval.parsing,
        "http": settings.serving.http,
    }
    limits = _rows({name: part.model_dump(mode="json") for name, part in sections.items()})
    return {name: limit for name, limit in limits if limit not in (None, [])}


def _rows(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what is set as (dotted key, value); the members of a list of tables are numbered from 1."""
    for key, value in flatten(values):
        if isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
            yield from _rows({f"{key}.{number}": each for number, each in enumerate(value, 1)})
        elif value != {}:
            yield key, value
