"""Names of OpenTelemetry's conventions: those that we use exist in the registry, and what it warns of is content.

The registry is the installed `opentelemetry-semantic-conventions`. Its names for generative AI are marked as moved: they live in a
repository of their own since v0.1.0, whose package nobody publishes yet. What is new there is taken from the names that the
installed `opentelemetry-util-genai` emits, and from `MOVED_ON`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from foundation import names
from foundation.types import LAYERS
from observability.telemetry.span_content import holds_content

ROOT = Path(__file__).resolve().parents[2]
MOVED_ON = {
    "gen_ai.memory.query.text": "This attribute may contain sensitive information.",
    "gen_ai.memory.records": "This attribute may contain sensitive information including user/PII data.",
    "gen_ai.evaluation.explanation": "A free-form explanation for the assigned score provided by the evaluator.",
    "gen_ai.retrieval.top_k": "The number of documents that were asked for.",
    "gen_ai.prompt.variable": "The value of a variable of the prompt. May contain sensitive information.",
}
"""github.com/open-telemetry/semantic-conventions-genai, docs/registry/attributes/gen-ai.md, with the words of its notes."""
WARNS = re.compile(
    r"(may|likely to|contains?) (contain )?sensitive|leaking sensitive|sensitive content|for sanitization see|"
    r"SHOULD NOT capture|credentials",
    re.IGNORECASE,
)
NO_WORDS = {
    "enduser.id": "who asks is in our own spans only by its tenant; a number of somebody else's is theirs to send",
    "enduser.pseudo.id": "as above",
    "device.id": "as above",
    "jsonrpc.request.id": "a number that a client counts its requests by",
    "container.command": "a resource, which the operator starts and names",
}
"""What the registry warns of, and why it is not taken out as what people or documents said."""
SAID = (
    "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions", "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result", "gen_ai.tool.definitions", "gen_ai.retrieval.query.text", "gen_ai.retrieval.documents",
    "gen_ai.memory.query.text", "gen_ai.memory.records", "gen_ai.evaluation.explanation", "gen_ai.prompt", "gen_ai.completion",
)  # fmt: skip
OURS = "sixply."


def constants(package: str) -> Iterator[tuple[str, str]]:
    """Every text that a package keeps under a name, with the docstring below it, by reading its source."""
    spec = find_spec(package)
    assert spec
    assert spec.submodule_search_locations
    for path in sorted(Path(spec.submodule_search_locations[0]).rglob("*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for at, node in enumerate(body):
            if isinstance(node, ast.AnnAssign | ast.Assign) and isinstance(node.value, ast.Constant):
                below = body[at + 1] if at + 1 < len(body) else None
                said = (
                    below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else ""
                )
                yield str(node.value.value), str(said)


REGISTRY = dict(constants("opentelemetry.semconv"))
KNOWN = {*REGISTRY, *MOVED_ON, *(name.rstrip(".") for name, _ in constants("opentelemetry.util.genai"))}
NAMESPACES = {name.partition(".")[0] for name in REGISTRY if "." in name}
OF_EXTENSIONS = [
    import_module(f"extensions.{file.parent.name}.span_names") for file in ROOT.glob("extensions/*/span_names.py")
]
VALUES = [value for module in (names, *OF_EXTENSIONS) for name, value in vars(module).items() if name.isupper()]


def of_conventions(value: str) -> bool:
    """Whether a text is spelt like a name of the conventions."""
    return re.fullmatch(r"[a-z_]+(\.[a-z_]+)+\.?", value) is not None and value.partition(".")[0] in NAMESPACES


def emitted() -> list[str]:
    single = [value for value in VALUES if isinstance(value, str)]
    return [value for value in [*single, *names.CONTENT] if not value.startswith(OURS) and "." in value]


@pytest.mark.parametrize("name", sorted(set(emitted())))
def test_a_name_of_theirs_exists_in_their_registry_at_its_present_revision(name: str) -> None:
    assert name.rstrip(".") in KNOWN
    note = REGISTRY.get(name.rstrip("."), "")
    gone = note.startswith("Deprecated") and "Moved to the" not in note
    assert not gone or name in names.CONTENT, note  # what earlier revisions called content is still taken out


def test_the_operations_are_those_of_the_conventions() -> None:
    from opentelemetry.semconv._incubating.attributes.gen_ai_attributes import GenAiOperationNameValues

    moved_on = {"plan"}  # its span: docs/gen-ai/gen-ai-agent-spans.md there
    assert {each.value for each in GenAiOperationNameValues} | moved_on >= names.OPERATIONS


def test_nobody_else_spells_a_name_of_the_conventions() -> None:
    spelt = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.value}"
        for layer in LAYERS
        for path in (ROOT / layer).rglob("*.py")
        if path != ROOT / "foundation" / "names.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if of_conventions(node.value) and node.value in KNOWN
    ]
    assert spelt == []


def test_what_the_registry_warns_of_is_content() -> None:
    warned = [name for name, note in {**REGISTRY, **MOVED_ON}.items() if WARNS.search(note) and "." in name]
    assert set(NO_WORDS) <= set(warned), "they are not warned of any more"
    left = [name for name in [*warned, *SAID] if not holds_content(name) and not holds_content(f"{name}.x")]
    assert sorted(set(left) - set(NO_WORDS)) == []
