"""Every swap in docs/layers is made, as it is written there, over data that stack.toml wrote."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from extensions.library import commands
from foundation.errors import FingerprintMismatch, PolicyDenied
from foundation.extensions import read_names
from foundation.types import EVERY_TENANT, Principal
from models import weights
from retrieval.ingest.folders import read_folder
from retrieval.ingest.preparation import Item
from serving.cli import documents
from serving.judge import trial
from serving.settings import Loaded, load
from serving.wiring import System, open_system
from tests import services
from tests.doubles.spans import receiver
from tests.opened_once import models_opened_once  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "layers"
LAYERS = ("foundation", "models", "retrieval", "orchestration", "serving", "observability")
QUESTION = "From what order value is delivery free?"
DOCUMENTS = ("shipping-policy-2024-06.md", "warranty-policy-2025-06.md")
PERSON = Principal("reader of the page", "acme", frozenset({"agent"}))
BLOCK = re.compile(r"```(toml|python)\n(?:# (\S+)\n)?(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Swap:
    """A section of a page: its lines for stack.toml and policy.toml, its modules, and what becomes of the data."""

    page: str
    title: str
    toml: str
    policy: str
    profile: str | None
    modules: Mapping[str, str]
    data: str
    added: tuple[str, ...] = ()
    """The extensions that the section has its reader turn on."""

    @property
    def changes(self) -> dict[str, Any]:
        changes = tomllib.loads(self.toml)
        if self.added:
            changes["extensions"] = [*dict.fromkeys((*read_names(ROOT / "stack.toml"), *self.added))]
        if self.policy:
            changes["orchestration"] = {**changes.get("orchestration", {}), "policy": tomllib.loads(self.policy)}
        return changes["profiles"][self.profile] if self.profile else changes  # type: ignore[no-any-return]


def swaps() -> Iterator[Swap]:
    for page in LAYERS:
        for section in (PAGES / f"{page}.md").read_text(encoding="utf-8").split("\n## ")[1:]:
            blocks = BLOCK.findall(section)
            data = re.search(r"^\*\*Your data:\*\* ([\w ]+)", section, re.MULTILINE)
            policy = next((text for _, head, text in blocks if head == "policy.toml"), "")
            for _, head, text in [block for block in blocks if block[0] == "toml" and block[1] != "policy.toml"]:
                yield Swap(
                    page=page,
                    title=section.partition("\n")[0],
                    toml=text,
                    policy=policy,
                    profile=head.removeprefix("SIXPLY_PROFILE=") or None,
                    modules={name: code for language, name, code in blocks if language == "python"},
                    data=data[1] if data else "",
                    added=tuple(re.findall(r"make add NAME=(\w+)", section)),
                )


SWAPS = list(swaps())
OPTIONAL = {
    ".team.": pytest.mark.needs("examples.team"),
}
"""What stands in the lines of a section that goes with an optional part."""


def _marked(swap: Swap) -> Any:
    marks = [mark for words, mark in OPTIONAL.items() if words in swap.toml]
    return pytest.param(swap, marks=marks, id=f"{swap.page}: {swap.title}")


def _stack(data_dir: Path, changes: Mapping[str, Any]) -> Loaded:
    """stack.toml with the changes over it, in that folder whatever they say."""
    return load(ROOT / "stack.toml", overrides=_in_folder(data_dir, changes))


def _in_folder(data_dir: Path, changes: Mapping[str, Any]) -> dict[str, Any]:
    return {**changes, "foundation": {**changes.get("foundation", {}), "data_dir": str(data_dir)}}


@contextmanager
def _environment(data_dir: Path, changes: Mapping[str, Any]) -> Iterator[None]:
    """The changes and the folder in variables, as a person may state them to a command."""
    with pytest.MonkeyPatch.context() as patched:
        for layer, values in _in_folder(data_dir, changes).items():
            patched.setenv(f"SIXPLY__{layer.upper()}", json.dumps(values))
        yield


def _move(old: Path, new: Path, changes: Mapping[str, Any], file: Path) -> None:
    with _environment(old, {}):
        commands.export_ledger(file, stack=ROOT / "stack.toml")
    with _environment(new, changes):
        commands.import_ledger(file, stack=ROOT / "stack.toml")


def _reachable(changes: Any, folder: Path, collector: str, place: str = "") -> Any:
    """The same with the addresses of servers that the tests start, in place of those that the page gives as examples."""
    if isinstance(changes, list):
        return [_reachable(each, folder, collector, place) for each in changes]
    if not isinstance(changes, dict):
        return changes
    found = {key: _reachable(value, folder, collector, key) for key, value in changes.items()}
    if "base_url" in found:
        found |= {"model": weights.SMOLLM2.name, "base_url": f"{services.llama()}/v1", "api_key": services.LLAMA_KEY}
        if place in ("chat", "fallbacks"):  # the bundled model calls none, which nobody knows of it behind an address
            found["profile"] = {"tool_calling": False}
    if "endpoint" in found:
        found["endpoint"] = collector
    return found | services.options(str(found.get("use", "")), folder)


def _beginning(item: Item) -> Item:
    """Its first two sections: a chat model that embeds takes seconds for each page."""
    return replace(item, content=b"\n## ".join(item.content.split(b"\n## ")[:2]))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder as the shipped stack.toml leaves it."""
    folder = Path(tmp_path_factory.mktemp("filled"))
    items = read_folder(ROOT / "examples" / "support_desk" / "corpus" / "policies", tenant=EVERY_TENANT)
    with open_system(_stack(folder, {})) as system:
        system.retrieval.ingestor.ingest([_beginning(item) for item in items if item.name in DOCUMENTS])
    return folder


@pytest.mark.real_model
@pytest.mark.parametrize("swap", [*map(_marked, SWAPS)])
def test_the_swap_does_what_the_page_says(
    swap: Swap, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, code in swap.modules.items():
        (tmp_path / name).write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    old = Path(shutil.copytree(filled, tmp_path / "var"))
    with receiver() as (collector, received):
        changes = _reachable(swap.changes, tmp_path, collector)
        loaded = _stack(_carried_over(swap, old, changes, tmp_path), changes)
        with open_system(loaded) as system:
            assert system.retrieval.ledger.document_count() == len(DOCUMENTS)
            assert system.retrieval.vectors.count() == system.retrieval.ledger.chunk_count()
            _answers(system)
            EFFECTS.get(swap.title, lambda _: None)(system)
    signals = {"/v1/traces", "/v1/metrics"} if "otlp" in swap.toml else set()
    assert {headers["path"] for headers in received.headers} == signals


def _carried_over(swap: Swap, old: Path, changes: Mapping[str, Any], folder: Path) -> Path:
    """Do what the page says has to be done with the data, and see that it has to be; gives the folder to start in."""
    match swap.data:
        case "stay" | "are indexed again":
            return old
        case "need a reindex":
            with pytest.raises(FingerprintMismatch), open_system(_stack(old, changes)):
                pass
            with _environment(old, changes):
                documents.reindex(ROOT / "stack.toml")
            return old
        case "are moved":
            _move(old, old, changes, folder / "ledger.jsonl.gz")
            return old
        case "start empty":
            new = folder / "new"
            with open_system(_stack(new, changes)) as system:
                assert system.retrieval.ledger.document_count() == 0
            _move(old, new, changes, folder / "ledger.jsonl.gz")
            return new
    raise AssertionError(f'{swap.page}: "{swap.title}" must say what becomes of the data, not "{swap.data}"')


def _answers(system: System) -> None:
    """It finds the document; and it answers from it, where the thresholds were set for this embedder. Which of its sentences
    a small model behind a server picks is the model's own affair, and not always the same.
    """
    assert DOCUMENTS[0] in {hit.source.uri for hit in system.retriever.retrieve(QUESTION, system.policy.scope(PERSON))}
    if system.settings.models.embedder.use == "openvino":
        answer = asyncio.run(trial.ask(system, QUESTION, PERSON))
        assert answer.status == "answered", answer.text
        assert DOCUMENTS[0] in {each.uri for each in answer.citations}, answer.text


def _has_one_tool(system: System) -> None:
    (tool,) = system.orchestration.tools
    assert tool.invoke({"day": "Monday"}) == "Monday: from 11 to 15"


def _refuses_the_word(system: System) -> None:
    with pytest.raises(PolicyDenied, match="lawsuit"):
        asyncio.run(trial.ask(system, "Will you win the lawsuit?", PERSON))


def _counts_layers(system: System) -> None:
    system.observability.telemetry.flush()
    assert {"retrieval", "orchestration"} <= set(sys.modules["layer_counter"].COUNTED)


def _gives_one_tenant_a_persona(system: System) -> None:
    page = (PAGES / "orchestration.md").read_text(encoding="utf-8")
    assert (ROOT / "examples/support_desk/prompts/alder-clinics/persona.md").read_text(encoding="utf-8") in page
    prompts = system.parts.prompts
    assert prompts.of("alder-clinics")["persona"].text.startswith("You are the desk assistant of the Alder clinics.")
    assert prompts.of("acme")["persona"].text.startswith("You are the assistant of an organisation.")
    assert system.manifest.prompts["alder-clinics/persona"].startswith("persona@1 ")


EFFECTS: Mapping[str, Callable[[System], None]] = {
    "Tools of your own": _has_one_tool,
    "Prompts: a persona for one tenant": _gives_one_tenant_a_persona,
    "A rule before the agent": _refuses_the_word,
    "An exporter of your own": _counts_layers,
}
"""What else a swap does, by its title."""


def test_every_page_has_swaps_and_no_effect_is_forgotten() -> None:
    assert {swap.page for swap in SWAPS} == set(LAYERS)
    assert EFFECTS.keys() <= {swap.title for swap in SWAPS}
