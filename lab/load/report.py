"""The load test: what a server does at rest, on the way to its limit, ten times beyond it, and afterwards."""

from __future__ import annotations

import asyncio
import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import psutil

from foundation.errors import ComponentError
from lab.load.provider import Provider, spread
from lab.load.server_process import QUESTIONS
from lab.load.traffic import Callers, Phase, quantile_ms
from serving.settings import HttpSettings

CORPUS = Path("examples/support_desk/corpus")
REPLY_S = 0.5
"""What the provider takes for a reply. The goals are shares of an answer's time, so they do not depend on it much."""
AT_REST = 0.2
"""The unloaded server is offered this share of its capacity."""
STEPS = (0.25, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 4.0)
OVERLOAD = 10.0
GOOD_SHARE, SLOWER = 0.95, 2.0
"""The knee is the highest offered load of which so much is answered, at most so many times slower than at rest."""
WATCH_RECOVERY_S = 15.0
STREAMS = 50
SHORT_GRACE_S = 2.0
PATIENCE_S = 120.0
SETTLE_S = 2.0
"""A server that nobody asks is at rest after this."""
LEFT_WITHIN_S = 2.0
"""After this nothing of a caller who left may be found."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Order:
    """Which stack is tested, and how much of everything."""

    stack: Path
    data_dir: Path
    seconds: float = 60.0
    rate: float | None = None
    """Answers a second that count as the capacity; measured if absent."""
    aborts: int = 1000
    terms: int = 100
    corpus: Path = CORPUS
    pairs: int = 300
    """Searches measured with and without HTTP; a third as many answers."""


async def measure(order: Order, progress: Progress) -> dict[str, Any]:
    """Every part of the report, one after the other, on servers in a temporary folder. Where a part fails, `failed` says how,
    and what was measured before it is kept.
    """
    order.data_dir.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {}
    try:
        await _measure(order, report, progress)
    except ComponentError as error:
        report["failed"] = str(error)
    return report


async def _measure(order: Order, report: dict[str, Any], progress: Progress) -> None:
    with tempfile.TemporaryDirectory(prefix="load-", dir=order.data_dir) as folder:
        homes = replace(order, data_dir=Path(folder))
        async with Provider(lambda: REPLY_S) as provider, server_on(homes, "load", provider) as server:
            report |= await _under_load(server, order, progress)
            if order.pairs:
                report["overhead"] = await _overhead(server, order.pairs, progress)
            if order.aborts:
                report["aborts"] = await _aborts(server, provider, order.aborts, progress)
        if order.terms:
            report["sigterm"] = await _terms(homes, progress)


# -- a server ----------------------------------------------------------------------------------------------------------


@dataclass
class Server:
    """A child that serves, and what it told of itself."""

    process: asyncio.subprocess.Process
    log: Path
    told: Mapping[str, Any] = field(default_factory=dict)

    def callers(self, path: str = "/v1/answers", member: str = "question", **more: Any) -> Callers:
        return Callers(self.told["url"], self.told["key"], path, [{member: one, **more} for one in QUESTIONS])

    def rss_mb(self) -> float:
        return float(psutil.Process(self.told["pid"]).memory_info().rss) / 2**20

    def cpu_s(self) -> float:
        """Seconds that its threads have computed, however busy the machine is with other work."""
        times = psutil.Process(self.told["pid"]).cpu_times()
        return float(times.user + times.system)

    async def levels(self) -> dict[str, float]:
        """Running and waiting answers, the tasks of its event loop, and how often that was held up."""
        headers = {"Authorization": f"Bearer {self.told['operator']}"}
        async with httpx2.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client:
            text = (await client.get(f"{self.told['url']}/metrics", headers=headers)).text
        found = dict(line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
        # a server that was asked before its first pulse has none of these yet
        pulses, prompt = (
            found.get(f"sixply_loop_lag_seconds_{series}", "0") for series in ("count", 'bucket{le="0.1"}')
        )
        return {
            "running": float(found['sixply_requests_running{work="answers"}']),
            "waiting": float(found['sixply_requests_waiting{work="answers"}']),
            "tasks": float(found.get("sixply_loop_tasks", "0")),
            "pulses": float(pulses),
            "held_up": float(pulses) - float(prompt),
        }

    async def do(self, kind: str, number: int) -> float:
        """Milliseconds of the same work inside the server's process, without HTTP, for a question by its number."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{kind} {number}\n".encode())
        await self.process.stdin.drain()
        return float((await self.line())["ms"])

    async def line(self) -> dict[str, Any]:
        """The next line of JSON that it prints.

        Raises:
            ComponentError: it has ended, or says nothing; with the end of its log, and what its threads were doing.
        """
        assert self.process.stdout is not None
        try:
            line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE_S)
            what = "ended"
        except TimeoutError:
            line, what = b"", f"said nothing for {PATIENCE_S:g} s"
            self.process.send_signal(signal.SIGABRT)  # Python's faulthandler then writes the stacks into the log
        if not line:
            await self.process.wait()
            end = self.log.read_text(encoding="utf-8", errors="replace")[-4000:]
            raise ComponentError(f"The server of the load test {what}. The end of its log:\n{end}")
        found: dict[str, Any] = json.loads(line)
        return found


@asynccontextmanager
async def server_on(order: Order, name: str, provider: Provider, **more: Any) -> AsyncIterator[Server]:
    folder = order.data_dir / name
    folder.mkdir()
    # the load is of answers that a model writes once
    profile = {"tool_calling": False}
    double = {"use": "openai_compatible", "model": "scripted", "base_url": provider.url, "keep_alive": True}
    chat: dict[str, Any] = {**double, "profile": profile}
    http: dict[str, Any] = {"port": 0}
    overrides: dict[str, Any] = {
        "foundation": {"data_dir": str(folder)},
        "models": {"chat": chat},
        # one key stands for all callers
        "serving": {"http": http | more.pop("http", {}), "quotas": {"caller": {"concurrent": 1000}}},
    }
    told = {"stack": str(order.stack), "overrides": overrides | more, "corpus": str(order.corpus)}
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-X", "faulthandler", "-m", "lab.load.server_process", json.dumps(told),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log, limit=2**24,
        )  # fmt: skip
    server = Server(process, folder / "log")
    try:
        server.told = await server.line()
        yield server
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


# -- latency against offered load --------------------------------------------------------------------------------------


async def _under_load(server: Server, order: Order, progress: Progress) -> dict[str, Any]:
    callers = server.callers(compose="generative")
    step = order.seconds / 6
    phases = len(STEPS) + 4

    def begin(number: int, name: str) -> None:
        progress(f"load: {name}", number, phases)

    begin(0, "warm up")
    capacity = order.rate or await _capacity(callers, step)
    begin(1, "at rest")
    rest = await callers.offer(AT_REST * capacity, order.seconds)
    steps = []
    for number, factor in enumerate(STEPS, 2):
        begin(number, f"{factor:g} times the capacity")
        steps.append(await callers.offer(factor * capacity, step))
    before = await server.levels()
    begin(phases - 2, f"{OVERLOAD:g} times the capacity")
    rss_mb = server.rss_mb()
    watched = asyncio.create_task(_highest(server.rss_mb))
    over = await callers.offer(OVERLOAD * capacity, order.seconds)
    begin(phases - 1, "recovery")
    after = await callers.offer(capacity / 2, min(WATCH_RECOVERY_S, order.seconds))
    watched.cancel()
    peak_mb = await watched
    await callers.close()
    levels = await server.levels()
    progress("load: done", phases, phases)
    return {
        "capacity_per_s": capacity,
        "provider_s": REPLY_S,
        "at_rest": rest.as_dict(),
        "sweep": [phase.as_dict() for phase in steps],
        "knee": knee(rest, steps),
        "overload": overload(rest, over, after, rss_mb=(rss_mb, peak_mb))
        | {
            "loop_pulses": levels["pulses"] - before["pulses"],
            "loop_held_up_100_ms": levels["held_up"] - before["held_up"],
        },
    }


async def _capacity(callers: Callers, seconds: float) -> float:
    await callers.capacity(2, min(2.0, seconds))
    found = [await callers.capacity(many, seconds) for many in (4, 6)]
    if not max(found):
        raise ComponentError("The server of the load test answered nothing. Try make serve with the same stack.")
    return max(found)


def knee(rest: Phase, steps: list[Phase]) -> dict[str, Any] | None:
    """The highest offered load before the first at which too little is answered, or too slowly."""
    usual = quantile_ms(rest.admitted, 0.99) or 0.0
    found = None
    for phase in steps:
        share = len(phase.admitted) / max(1, len(phase.replies))
        p99 = quantile_ms(phase.admitted, 0.99)
        if p99 is None or share < GOOD_SHARE or p99 > SLOWER * usual:
            break
        found = {"offered_per_s": phase.rate, "answered_share": share, "p99_ms": p99}
    return found


def overload(rest: Phase, over: Phase, after: Phase, *, rss_mb: tuple[float, float]) -> dict[str, Any]:
    """The goals' figures. A recovery of 0 s: the first request after the overload was as good as at rest."""
    usual = quantile_ms(rest.admitted, 0.99) or float("nan")
    bad = [one.due_s for one in after.replies if one.status != 200 or one.seconds * 1000 > SLOWER * usual]
    others = sum(one.status >= 500 and one.status not in {503, 504} for one in (*over.replies, *after.replies))
    p99 = quantile_ms(over.admitted, 0.99)
    before, peak = rss_mb
    return {
        **over.as_dict(),
        "admitted_p99_ratio": None if p99 is None else p99 / usual,
        "rejected_p99_ms": quantile_ms(over.rejected, 0.99),
        "other_5xx": others,
        "rss_growth": peak / before - 1,
        "recovery_s": max(bad, default=0.0),
        "without_retry_after": sum(not one.retry_after for one in over.rejected),
        "no_reply": sum(one.status == 0 for one in (*over.replies, *after.replies)),
        "rss_mb": before,
        "rss_peak_mb": peak,
        "recovery": after.as_dict(),
    }


async def _highest(read: Callable[[], float]) -> float:
    highest = read()
    try:
        while True:
            await asyncio.sleep(0.25)
            highest = max(highest, read())
    except asyncio.CancelledError:
        return highest


# -- callers that leave ------------------------------------------------------------------------------------------------


async def _aborts(server: Server, provider: Provider, times: int, progress: Progress) -> dict[str, Any]:
    """What is left of callers who hung up, a short while later."""
    before = await _settled(server)
    callers = server.callers(compose="generative")
    done = iter(range(1, times + 1))
    begun = time.perf_counter()
    await callers.leave(
        times, at_once=12, within_s=1.5 * REPLY_S, progress=lambda _: progress("callers that leave", next(done), times)
    )
    await callers.close()
    seconds = time.perf_counter() - begun
    left = await _left_of_them(server, provider, before)
    return {"n": times, "seconds": seconds, **left, "upstream_given_up": provider.given_up}


async def _left_of_them(server: Server, provider: Provider, before: dict[str, float]) -> dict[str, float]:
    late = time.perf_counter() + LEFT_WITHIN_S
    while True:
        after = await server.levels()
        left = {
            "tasks_left": max(0.0, after["tasks"] - before["tasks"]),
            "slots_left": after["running"] + after["waiting"],
            "upstream_left": provider.open,
        }
        if not any(left.values()) or time.perf_counter() > late:
            return left
        await asyncio.sleep(0.1)


async def _settled(server: Server) -> dict[str, float]:
    await asyncio.sleep(SETTLE_S)
    return await server.levels()


# -- what HTTP adds ----------------------------------------------------------------------------------------------------


async def _overhead(server: Server, pairs: int, progress: Progress) -> dict[str, Any]:
    """The same work with and without HTTP, and an empty FastAPI application, call by call in turns: all three find the same
    caches and the same sleeping threads.
    """
    found = {}
    for kind, path, body, member, times in (
        ("search", "/v1/search", {"limit": 10}, "query", pairs),
        ("answer", "/v1/answers", {"compose": "extractive"}, "question", pairs // 3),
    ):
        bodies = [json.dumps(body | {member: one}) for one in QUESTIONS]
        measured: dict[str, list[float]] = {"in_process_ms": [], "http_ms": [], "empty_app_ms": []}
        warm_up = max(1, times // 10)
        with (
            _posting(server.told["url"], server.told["key"], path) as post,
            _posting(server.told["empty_url"], server.told["key"], path) as post_empty,
        ):
            for number in range(-warm_up, times):
                progress(f"what HTTP adds: {kind}", max(0, number), times)
                asked = bodies[number % len(bodies)]
                measured["in_process_ms"].append(await server.do(kind, number % len(bodies)))
                measured["http_ms"].append(await asyncio.to_thread(post, asked))
                measured["empty_app_ms"].append(await asyncio.to_thread(post_empty, asked))
        measured = {name: ms[warm_up:] for name, ms in measured.items()}
        figures = {name: statistics.median(ms) for name, ms in measured.items()}
        over = figures["http_ms"] - figures["in_process_ms"]
        own = {"over_in_process_ms": over, "own_ms": over - figures["empty_app_ms"]}
        found[kind] = {"n": len(measured["http_ms"]), **figures, **own}
    return found


@contextmanager
def _posting(url: str, key: str, path: str) -> Iterator[Callable[[str], float]]:
    """Milliseconds of a request on one kept connection, by the plainest client there is."""
    from http.client import HTTPConnection
    from urllib.parse import urlsplit

    address = urlsplit(url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=PATIENCE_S)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def post(body: str) -> float:
        begun = time.perf_counter()
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        response.read()
        taken_s = time.perf_counter() - begun
        if response.status != 200:
            raise ComponentError(f"POST {path} gave {response.status} during the load test.")
        return taken_s * 1000

    with closing(connection):
        yield post


# -- being told to stop ------------------------------------------------------------------------------------------------


async def _terms(order: Order, progress: Progress) -> dict[str, Any]:
    """SIGTERM under open streams, many times with a short grace period and, of several, once more with the default one."""
    ends: dict[str, int] = {}
    exits: list[float] = []
    for number in range(order.terms):
        kinds, exit_s = await _one_term(order, number, grace_s=SHORT_GRACE_S)
        for kind in kinds:
            ends[kind] = ends.get(kind, 0) + 1
        exits.append(exit_s)
        progress("told to stop", number + 1, order.terms)
    default_s = None
    if order.terms > 1:
        kinds, default_s = await _one_term(order, order.terms, grace_s=HttpSettings().grace_s)
        for kind in kinds:
            ends[kind] = ends.get(kind, 0) + 1
    return {
        "runs": order.terms + (default_s is not None),
        "streams": STREAMS,
        "last_events": ends,
        "without_last_event": sum(count for kind, count in ends.items() if kind not in {"answer", "error"}),
        "short_grace_s": SHORT_GRACE_S,
        "max_exit_s_of_short_grace": max(exits),
        "exit_s_of_default_grace": default_s,
    }


async def _one_term(order: Order, number: int, *, grace_s: float) -> tuple[list[str], float]:
    light: dict[str, Any] = {
        "retrieval": {"vectors": {"use": "memory"}},
        "http": {"grace_s": grace_s, "concurrent_answers": STREAMS},
    }
    async with (
        Provider(spread(0.1, 3 * grace_s, number)) as provider,
        server_on(order, f"term-{number}", provider, **light) as server,
    ):
        callers = server.callers(compose="generative")
        listening = [asyncio.create_task(callers.listen()) for _ in range(STREAMS)]
        while (await server.levels())["running"] + sum(task.done() for task in listening) < STREAMS:  # noqa: ASYNC110 - the other process tells nothing by itself
            await asyncio.sleep(0.05)
        server.process.send_signal(signal.SIGTERM)
        begun = time.perf_counter()
        heard = await asyncio.gather(*listening)
        await asyncio.wait_for(server.process.wait(), PATIENCE_S)
        exit_s = time.perf_counter() - begun
        await callers.close()
    return [kind for _, kind in heard], exit_s
