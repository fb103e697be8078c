"""The load test's own arithmetic, and a short run of it against a real server."""

import asyncio
import json
import time
from pathlib import Path

import httpx2
import pytest

from foundation.errors import ComponentError
from lab.load import command, first_token
from lab.load.provider import Provider
from lab.load.report import Order, knee, measure, overload
from lab.load.traffic import Callers, Phase, Reply
from tests.doubles import stacks


def phase(rate: float, *replies: tuple[int, float], seconds: float = 10.0) -> Phase:
    """Replies as (status, seconds), spread evenly."""
    made = [
        Reply(number * seconds / len(replies), 0.0, took, status, retry_after=status == 503)
        for number, (status, took) in enumerate(replies)
    ]
    return Phase(rate, seconds, tuple(made))


REST = phase(1, *[(200, 0.1)] * 100)


def test_the_knee_is_the_last_step_that_is_answered_in_time() -> None:
    steps = [
        phase(2, *[(200, 0.11)] * 50),
        phase(4, *[(200, 0.15)] * 50),
        phase(8, *[(200, 0.15)] * 40, *[(503, 0.01)] * 10),
        phase(9, *[(200, 0.1)] * 50),
    ]
    found = knee(REST, steps)
    assert found is not None
    assert found["offered_per_s"] == 4
    assert knee(REST, [phase(2, *[(200, 0.3)] * 50)]) is None


def test_the_figures_of_an_overload_are_those_of_the_goals() -> None:
    over = phase(10, *[(200, 0.15)] * 10, *[(503, 0.02)] * 80, (504, 1.0), (500, 0.1), (0, 60.0))
    after = phase(1, (503, 0.01), (200, 0.5), (200, 0.1), (200, 0.1))
    found = overload(REST, over, after, rss_mb=(100.0, 110.0))
    assert found["admitted_p99_ratio"] == pytest.approx(1.5)
    assert found["rejected_p99_ms"] == pytest.approx(20.0)
    assert (found["other_5xx"], found["no_reply"], found["without_retry_after"]) == (1, 1, 0)
    assert found["rss_growth"] == pytest.approx(0.1)
    assert found["recovery_s"] == 2.5


async def test_requests_come_when_they_are_due_whether_or_not_earlier_ones_were_answered() -> None:
    async with Provider(lambda: 0.5) as provider:
        callers = Callers(provider.url, "key", "/chat/completions", [{"messages": [{"content": "?"}]}])
        begun = time.perf_counter()
        found = await callers.offer(40, 0.5)
        await callers.close()
    assert len(found.replies) >= 5
    assert {one.status for one in found.replies} == {200}
    one_after_the_other = 0.5 * len(found.replies)
    assert time.perf_counter() - begun < one_after_the_other


async def test_a_provider_notices_that_its_caller_left() -> None:
    async with Provider(lambda: 60.0) as provider, httpx2.AsyncClient(trust_env=False) as client:
        asked = asyncio.create_task(client.post(f"{provider.url}/chat/completions", json={"messages": []}))
        async with asyncio.timeout(60):
            while not provider.open:  # noqa: ASYNC110 - a counter of another task
                await asyncio.sleep(0.01)
            asked.cancel()
            while provider.open:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert provider.given_up == 1


@pytest.mark.slow
@pytest.mark.nightly
def test_a_short_load_test_keeps_what_does_not_depend_on_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (
        ("LEFT_WITHIN_S", 60.0),
        ("SHORT_GRACE_S", 6.0),
    ):  # a slow machine cannot keep what we promise
        monkeypatch.setattr(f"lab.load.report.{name}", seconds)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "lamp.md").write_text("# Lamp\n\nThe warranty of the lamp is two years.\n")
    order = Order(
        stack=stacks.stack(tmp_path),
        data_dir=tmp_path / "var",
        seconds=2,
        rate=10,
        aborts=20,
        terms=1,
        pairs=10,
        corpus=tmp_path / "corpus",
    )
    report = asyncio.run(measure(order, lambda *_: None))
    assert {"admitted_p99_ratio", "rejected_p99_ms", "other_5xx", "rss_growth", "recovery_s"} <= report[
        "overload"
    ].keys()
    assert report["overload"]["statuses"].keys() <= {"200", "503"}
    assert report["overload"]["other_5xx"] == report["overload"]["without_retry_after"] == 0
    assert (report["aborts"]["slots_left"], report["aborts"]["upstream_left"]) == (0, 0)
    assert report["sigterm"]["without_last_event"] == 0
    assert len(command.goals(report)) == len(command.GOALS) - 1  # all but the exit with the default grace period
    assert all(drawn.startswith("<svg") for drawn in command.drawings(report).values())


def test_a_report_that_broke_off_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    over = {**REST.as_dict(), **overload(REST, REST, REST, rss_mb=(100.0, 100.0))}
    report = {"at_rest": REST.as_dict(), "sweep": [], "knee": None, "overload": over, "failed": "a server said nothing"}
    with pytest.raises(ComponentError, match="a server said nothing"):
        command.show(report, plots_in=tmp_path, json=tmp_path / "load.json")
    assert json.loads((tmp_path / "load.json").read_text()) == report
    assert (tmp_path / "load-latency.svg").exists()


def test_what_is_no_report_of_the_load_test_is_refused() -> None:
    with pytest.raises(ComponentError, match="no report of make load"):
        command.show({"gate": 1}, plots_in=None, json=None)


async def test_a_server_that_does_not_start_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text("[no-such-layer]\n")
    order = Order(stack=tmp_path / "stack.toml", data_dir=tmp_path / "var", corpus=tmp_path)
    report = await measure(order, lambda *_: None)
    assert "ended. The end of its log" in report["failed"]
    assert "no-such-layer" in report["failed"]


def test_the_first_word_is_heard_behind_the_providers_own_by_everybody_who_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("STREAMS", (1, 3)), ("FIRST_S", 0.01), ("WORD_S", 0.0), ("LEAST", 2)):
        monkeypatch.setattr(first_token, name, value)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "lamp.md").write_text("# Lamp\n\nThe warranty of the lamp is two years.\n")
    order = Order(stack=stacks.stack(tmp_path), data_dir=tmp_path / "var", corpus=tmp_path / "corpus")
    report = asyncio.run(first_token.measure(order, 2, lambda *_: None))
    assert {streams: found["statuses"] for streams, found in report["streams"].items()} == {
        "1": {"200": 2},
        "3": {"200": 6},
    }
    assert [found["n"] for found in report["streams"].values()] == [2, 6]
    assert all(found["p50"]["caller_ms"] > found["p50"]["provider_ms"] > 0 for found in report["streams"].values())
