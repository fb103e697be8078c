"""The switch of an operator's own tenant is thrown once, however often the request is sent."""

from __future__ import annotations

from pathlib import Path

import httpx2

from serving.app import create_app
from tests.doubles import serving


async def test_an_operator_of_a_stopped_tenant_gets_the_reply_about_the_switch_again(tmp_path: Path) -> None:
    given = serving.world(tmp_path, extensions=("idempotency", "kill_switches"))
    headers = {"Authorization": f"Bearer {given.operator}", "Idempotency-Key": "k-1"}
    transport = httpx2.ASGITransport(create_app(given.system))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as api:
        first, second = [
            await api.put("/v1/stops/tenant:north", json={"reason": "We are looking."}, headers=headers)
            for _ in range(2)
        ]
    assert (first.status_code, second.content) == (200, first.content)
    assert second.headers["idempotent-replayed"] == "true"
