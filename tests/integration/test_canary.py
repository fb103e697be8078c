"""What people and documents said leaves a running system by no signal: no span, metric or line of the log, as it ships."""

from __future__ import annotations

import io
import sqlite3
from pathlib import Path

import httpx2
import pytest
from opentelemetry import trace

from foundation import names
from foundation.settings import LoggingSettings
from observability.telemetry.logs import set_up
from serving.access.identity import KeyStore
from serving.server import running
from serving.settings import load
from serving.wiring import open_system
from tests.doubles import stacks
from tests.doubles.spans import receiver
from tests.integration.test_api_system import DESK
from tests.integration.test_logs import out  # noqa: F401 - a fixture

CANARY = "canary-1c0ffee"
SAID = (
    f"How long does the {CANARY} lamp run?",
    f"Remember that my lamp is called {CANARY}.",
    f"Please refund order QM-10017, my {CANARY} arrived broken.",
    f"Where is order QM-99999 of {CANARY}?",
)


@pytest.mark.usefixtures("out")
def test_no_signal_carries_what_was_said(tmp_path: Path, out: io.StringIO) -> None:  # noqa: F811 - the fixture
    set_up(LoggingSettings(level="debug"), out)
    with receiver() as (collector, received):
        more = f'{DESK}[[observability.exporters]]\nuse = "sqlite"\n[[observability.exporters]]\nuse = "otlp"\nendpoint = "{collector}"\n'
        with open_system(load(stacks.stack(tmp_path, more))) as system:
            keys = KeyStore.of(system.settings, system.context.clock)
            key = keys.create(subject=f"{CANARY}@example.com", tenant="alder-clinics", roles=["agent", "operator"])
            with (
                running(system) as url,
                httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as caller,
            ):
                document = f"# {CANARY}\n\nThe {CANARY} lamp runs for nine hours.\n".encode()
                assert caller.post("/v1/documents", files={"file": (f"{CANARY}.md", document)}).status_code == 201
                for question in SAID:
                    for compose in ("extractive", "generative"):
                        told = caller.post("/v1/answers", json={"question": question, "compose": compose})
                        assert told.status_code == 200, told.text
                caller.post("/v1/search", json={"query": CANARY})
                caller.get("/v1/documents", params={"q": CANARY})
                caller.get(f"/v1/documents/{CANARY}")
                caller.post("/v1/answers", json={"question": {"text": CANARY}})
                span = trace.get_tracer("a part from elsewhere").start_span("memory")
                for name in names.CONTENT:
                    span.set_attribute(name + "x" * name.endswith("."), CANARY)
                    span.add_event("said", {name + "x" * name.endswith("."): CANARY})
                span.end()
                metrics = caller.get("/metrics").text
    assert CANARY not in metrics
    assert CANARY not in out.getvalue()
    stored = sqlite3.connect(tmp_path / "var" / "spans.sqlite").execute("SELECT * FROM spans").fetchall()
    assert len(stored) > 50
    assert [row for row in stored if CANARY in str(row)] == []
    sent = received.bodies_at("/v1/traces") + received.bodies_at("/v1/metrics")
    assert received.metrics()
    assert [body for body in sent if CANARY.encode() in body] == []
