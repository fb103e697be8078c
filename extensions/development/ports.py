"""Every port of the system: its name, the folder of its adapters, and their contract."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.components import PORTS
from foundation.errors import InvalidRequest, did_you_mean
from foundation.settings import Part
from serving.settings import Settings

CONTRACTS = {
    "models.chat": "models.contract:BaseChatModel",
    "models.embedder": "models.contract:Embeddings",
    "models.reranker": "models.contract:Reranker",
    "models.entailment": "models.contract:EntailmentJudge",
    "models.prices": "models.contract:PriceSource",
    "retrieval.parsers": "retrieval.contract:Parser",
    "retrieval.recogniser": "retrieval.contract:Recogniser",
    "retrieval.chunker": "retrieval.contract:Chunker",
    "retrieval.ledger": "retrieval.contract:DocumentLedger",
    "retrieval.vectors": "retrieval.contract:VectorIndex",
    "orchestration.agent": "orchestration.contract:Agent",
    "orchestration.policy.approver": "orchestration.contract:Approver",
    "orchestration.checkpoints": "langgraph.checkpoint.base:BaseCheckpointSaver",
    "orchestration.tools": "langchain_core.tools:BaseTool",
    "observability.exporters": "observability.contract:SpanExporter",
    "serving.cache": "serving.contract:Cache",
}


@dataclass(frozen=True)
class Port:
    """One kind of part."""

    name: str

    @property
    def package(self) -> str:
        """Package of its adapters, such as `models.embedders`."""
        return PORTS.get(self.name, self.name)

    @property
    def folder(self) -> Path:
        return Path(*self.package.split("."))

    @property
    def suite(self) -> Path:
        word = "parser" if self.name == "retrieval.parsers" else self.name.rpartition(".")[2]
        return Path("tests/contracts", f"test_{word}.py")

    @property
    def contract(self) -> type:
        """Protocol or base class of what an adapter's `build` returns."""
        module, _, name = CONTRACTS[self.name].partition(":")
        contract_type: type = getattr(importlib.import_module(module), name)
        return contract_type

    def configured_parts(self, settings: Settings) -> tuple[Part, ...]:
        """Return the parts in stack.toml for this port; empty for parsers."""
        value: Any = settings
        for section in self.name.split("."):
            value = getattr(value, section, ())
        return value if isinstance(value, tuple) else tuple(filter(None, [value]))


def port(text: str) -> Port:
    """Return the port that a person names, as its section or its folder. Raises InvalidRequest: there is none."""
    dotted = text.strip("/").replace("/", ".")
    for name in CONTRACTS:
        if dotted in (name, Port(name).package):
            return Port(name)
    raise InvalidRequest(f'No port "{text}". {did_you_mean(dotted, CONTRACTS)}')
