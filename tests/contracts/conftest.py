"""What every contract suite shares: the two ways in which a part is tested."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from foundation import tracing
from observability.settings import ObservabilitySettings
from observability.telemetry import setup
from observability.telemetry.instrument import CountedAgent, TracedEmbedder, TracedJudge, TracedReranker
from tests.contracts import under_test

WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "models.embedder": TracedEmbedder,
    "models.reranker": TracedReranker,
    "models.entailment": TracedJudge,
    "orchestration.agent": CountedAgent,
}
"""The ports whose parts `serving.wiring` hands on in a wrapper. The others are watched by LangChain's instrumentor, or are steps too small for a span."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out what runs on each adapter of a port that has none, as the port of recognisers in a project without the extension ocr:
    nothing was skipped there, so CI has nothing to refuse.
    """
    empty = {item for item in items if _runs_on_no_adapter(item)}
    if empty:
        config.hook.pytest_deselected(items=[*empty])
        items[:] = [item for item in items if item not in empty]


def _runs_on_no_adapter(item: pytest.Item) -> bool:
    port = getattr(getattr(item, "module", None), "SECTION", None)
    reasons = [str(mark.kwargs.get("reason")) for mark in item.iter_markers("skip")]
    return port is not None and "got empty parameter set for (name)" in reasons and not under_test.adapters(port)


@pytest.fixture(params=under_test.WRAPPED)
def watched(request: pytest.FixtureRequest) -> Iterator[Callable[[str, Any], Any]]:
    """`watched(port, part)` is the part as its adapter built it; or as it is while the system runs: telemetry records,
    LangChain is instrumented, a request's span is open, and the part stands in the wrapper of its port.
    """
    with ExitStack() as opened:
        if request.param == "plain":
            yield lambda _, part: part
            return
        opened.enter_context(
            setup.start(ObservabilitySettings(), [InMemorySpanExporter()], manifest_id="contract tests")
        )
        opened.enter_context(tracing.span("answer", layer="serving"))
        yield lambda port, part: WRAPPERS.get(port, _itself)(part)


def _itself(part: Any) -> Any:
    return part
