"""The dashboard and the alert rules, put to a real Prometheus that scrapes a real server after real traffic."""

import json
import math
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from serving.access.identity import KeyStore
from serving.server import running
from serving.settings import load
from serving.wiring import open_system
from tests import services
from tests.doubles import stacks
from tests.integration.test_api_system import DESK

DASHBOARDS = Path(__file__).parents[2] / "observability" / "dashboards"
PANELS: list[dict[str, Any]] = [
    panel
    for path in sorted(DASHBOARDS.glob("grafana/*.json"))
    for panel in json.loads(path.read_text())["panels"]
    if panel["type"] != "row"
]
GIVE_UP_S = 120
SCRAPES = 'sum(count_over_time(up{job="sixply"}[10m]))'


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A Prometheus with our own configuration (only sooner), which has scraped before and after the traffic."""
    folder = tmp_path_factory.mktemp("watched")
    with open_system(load(stacks.stack(folder, DESK))) as system:
        keys = KeyStore.of(system.settings, system.context.clock)
        (folder / "sixply.key").write_text(
            keys.create(subject="prometheus", tenant="alder-clinics", roles=["operator"])
        )
        key = keys.create(subject="ada", tenant="alder-clinics", roles=["agent"])
        with running(system) as url:
            ours = (DASHBOARDS / "prometheus.yml").read_text()
            assert "127.0.0.1:8600" in ours
            (folder / "rules.yml").write_text((DASHBOARDS / "rules.yml").read_text())
            (folder / "prometheus.yml").write_text(
                ours.replace("127.0.0.1:8600", url.removeprefix("http://")).replace("15s", "2s")
            )
            with (
                httpx2.Client(base_url=services.prometheus(folder / "prometheus.yml"), timeout=30) as watching,
                httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as asking,
            ):
                for answers, lamp in (
                    (2, "moon"),
                    (4, "sun"),
                ):  # a histogram's series begins with its first event; its rate with the next one
                    traffic(asking, lamp)
                    wait_until(watching, f"sum(sixply_answers_total) >= {answers}")
                    scrapes = values(watching, SCRAPES)[0]
                    wait_until(watching, f"{SCRAPES} >= {scrapes + 2}")
                yield watching


def traffic(asking: httpx2.Client, lamp: str) -> None:
    """One document and two answers, on a lamp of its own: what was embedded before is not embedded again."""
    text = f"# {lamp} lamp\n\nThe {lamp} lamp runs for nine hours.\n"
    added = asking.post("/v1/documents", files={"file": (f"{lamp}.md", text.encode())})
    assert added.status_code == 201, added.text
    for compose in ("extractive", "generative"):
        asked = asking.post("/v1/answers", json={"question": f"How long does the {lamp} lamp run?", "compose": compose})
        assert asked.status_code == 200, asked.text


def values(watching: httpx2.Client, query: str) -> list[float]:
    told = watching.get("/api/v1/query", params={"query": query})
    assert told.status_code == 200, told.text
    return [float(series["value"][1]) for series in told.json()["data"]["result"]]


def wait_until(watching: httpx2.Client, query: str) -> None:
    """Until `query` gives a series."""
    give_up = time.monotonic() + GIVE_UP_S
    while not values(watching, query):
        assert time.monotonic() < give_up, f"{query} stayed empty: {watching.get('/api/v1/targets').text}"
        time.sleep(0.2)


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_no_panel_is_empty(prometheus: httpx2.Client, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        found = values(prometheus, target["expr"].replace("$__rate_interval", "10m"))
        assert found, target["expr"]
        assert not all(map(math.isnan, found)), target["expr"]


def test_prometheus_took_every_rule_and_only_what_is_true_fires(prometheus: httpx2.Client) -> None:
    rules = prometheus.get("/api/v1/rules").json()["data"]["groups"][0]["rules"]
    named = re.findall(r"- (?:alert|record): (\S+)", (DASHBOARDS / "rules.yml").read_text())
    assert [rule["name"] for rule in rules] == named
    wait_until(prometheus, 'sixply:answers:rate15m{status="answered"}')
    rules = prometheus.get("/api/v1/rules").json()["data"]["groups"][0]["rules"]
    assert {(rule["name"], rule.get("lastError", "")) for rule in rules} == {(name, "") for name in named}
    wait_until(prometheus, 'ALERTS{alertname="SixplyUnpriced", alertstate="firing"}')  # the double's model has no price
    assert values(prometheus, 'count(ALERTS{alertstate="firing"})') == [1]


def test_each_alert_fires_on_its_own_trouble_and_none_on_a_healthy_system() -> None:
    services.promtool("check", "config", "--syntax-only", DASHBOARDS / "prometheus.yml")
    services.promtool("test", "rules", DASHBOARDS / "rules_test.yml")


def test_the_exposition_format_is_clean(prometheus: httpx2.Client) -> None:
    wait_until(prometheus, 'up{job="sixply"} == 1')
