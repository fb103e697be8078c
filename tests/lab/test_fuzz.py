"""Bodies of odd sizes and shapes, drawn from the OpenAPI description."""

from __future__ import annotations

from pathlib import Path

from lab.attacks import fuzz, victim

BODIES = 300


def test_odd_bodies_are_no_defects_and_leave_no_memory_behind(tmp_path: Path) -> None:
    with victim.start(tmp_path) as server:
        result = fuzz.fuzz(server, bodies=BODIES, seed=7, progress=lambda _: None)
    assert result.defects == []
    assert result.sent == sum(result.statuses.values()) == BODIES
    assert result.statuses.keys() >= {200, 413, 422}
    assert result.grown_bytes < fuzz.MEMORY_BYTES


def test_the_same_seed_draws_the_same_requests_and_another_seed_others() -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}
    body = {"content": {"application/json": {"schema": schema}}}
    document = {"components": {"schemas": {}}, "paths": {"/v1/x": {"post": {"requestBody": body}}}}

    def drawn(seed: int) -> list[fuzz.Sent]:
        bender = fuzz.Bender(document, seed)
        return [bender.draw() for _ in range(50)]

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


def test_a_defect_a_blocked_health_and_grown_memory_are_failures() -> None:
    assert fuzz.Result().failures() == []
    result = fuzz.Result(defects=["POST /v1/x: 500"], health_s=0.9, grown_bytes=400_000_000)
    assert len(result.failures()) == 3
