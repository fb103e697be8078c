"""The server under faults: callers that leave, overload, a taken port, and being told to stop."""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from foundation.errors import AddressInUse, InvalidSetting
from serving.http.listening import bind
from serving.server import running
from serving.settings import HttpSettings
from tests.doubles.serving import World, world

PATIENCE_S = 60.0

pytestmark = pytest.mark.usefixtures("restored_signals")


def bearer(key: str, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", **headers}


def post(url: str, key: str, question: str) -> httpx2.Response:
    return httpx2.post(url, json={"question": question}, headers=bearer(key), timeout=PATIENCE_S)


def get(url: str, key: str = "") -> httpx2.Response:
    return httpx2.get(url, headers=bearer(key) if key else None, timeout=PATIENCE_S)


def until(holds: Callable[[], bool]) -> None:
    """Wait for something that must come; the limit only keeps a failure from hanging."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


@pytest.fixture
def given(tmp_path: Path) -> World:
    return world(tmp_path, concurrent_answers=1)


@pytest.fixture
def base_url(given: World) -> Iterator[str]:
    with running(given.system) as url:
        yield url


def post_raw(base_url: str, key: str, question: str, accept: str) -> socket.socket:
    """Send a question on a socket of our own, so that we can hang up."""
    host, port = base_url.removeprefix("http://").split(":")
    body = json.dumps({"question": question})
    connection = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
    connection.sendall(
        f"POST /v1/answers HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nAccept: {accept}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    return connection


def test_no_request_waits_while_garbage_is_looked_for_among_what_is_there_for_good(given: World) -> None:
    gc.unfreeze()  # what tests/conftest.py froze
    with running(given.system):
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_a_caller_who_leaves_cancels_the_work_and_frees_the_place(given: World, base_url: str, accept: str) -> None:
    connection = post_raw(base_url, given.reader, "wait", accept)
    assert given.system.agent.started.wait(PATIENCE_S)
    connection.close()
    assert given.system.agent.cancelled.wait(PATIENCE_S)
    after = post(f"{base_url}/v1/answers", given.reader, "When?")
    assert after.status_code == 200


def test_beyond_the_queue_a_caller_is_told_when_to_come_back_while_health_and_approvals_answer(
    given: World, base_url: str
) -> None:
    answers: list[int] = []

    def ask() -> None:
        answers.append(post(f"{base_url}/v1/answers", given.reader, "wait").status_code)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: answers == [503, 503])
    shed = post(f"{base_url}/v1/answers", given.reader, "When?")
    assert shed.json()["code"] == "overloaded"
    assert int(shed.headers["retry-after"]) >= 1
    assert get(f"{base_url}/health/ready").status_code == 200
    assert get(f"{base_url}/v1/approvals", given.approver).status_code == 200
    given.system.agent.let_go.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(answers) == [200, 200, 503, 503]


def test_a_stream_begins_before_the_answer_is_ready(given: World, base_url: str) -> None:
    with httpx2.stream(
        "POST",
        f"{base_url}/v1/answers",
        json={"question": "wait"},
        headers=bearer(given.reader, Accept="text/event-stream", **{"Accept-Encoding": "gzip"}),
        timeout=PATIENCE_S,
    ) as response:
        assert "content-encoding" not in response.headers
        lines = response.iter_lines()
        assert next(lines) == "event: step"
        assert not given.system.agent.let_go.is_set()
        given.system.agent.let_go.set()
        assert "event: answer" in list(lines)


def test_a_taken_port_is_named_with_the_setting_that_moves_us() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressInUse, match=rf"{port}.*\[serving.http\] port.*{port + 1}"):
            bind(HttpSettings(port=port))


def test_a_second_server_of_ours_finds_the_port_taken(given: World) -> None:
    with bind(given.system.settings.serving.http) as first, pytest.raises(AddressInUse):
        bind(HttpSettings(port=first.getsockname()[1]))


def test_a_host_that_is_not_ours_is_a_setting_to_correct() -> None:
    with pytest.raises(InvalidSetting, match=r"\[serving.http\]"):
        bind(HttpSettings(host="192.0.2.1", port=0))


SERVER = """
import gc
import os
import signal
import sys
from pathlib import Path
from serving import server
from serving.http.listening import base_url, bind
from serving.server import serve
from tests.doubles.serving import world

server.load_what_answers_use = lambda _: None  # the double has neither a model nor prices
given = world(Path(sys.argv[1]), grace_s=float(sys.argv[2]), concurrent_answers=64)
http = given.system.settings.serving.http
listening = bind(http)
print(base_url(http, listening), given.reader, flush=True)
serve(given.system, listening)
os.kill(os.getpid(), signal.SIGTERM)  # a supervisor's, after the terminal's Ctrl-C: the stores are being closed
print("closed", len(gc.get_objects()) < gc.get_freeze_count(), flush=True)
"""


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[[float], tuple[subprocess.Popen[str], str, str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(grace_s: float) -> tuple[subprocess.Popen[str], str, str]:
        command = [sys.executable, "-W", "error", "-c", textwrap.dedent(SERVER), str(tmp_path), str(grace_s)]
        child = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([".", *sys.path])},
        )
        started.append(child)
        assert child.stdout
        url, key = child.stdout.readline().split()
        return child, url, key

    yield start
    for child in started:
        child.kill()
        child.communicate()


def test_told_to_stop_it_ends_every_stream_with_an_error_event_and_closes_its_parts(process: Callable) -> None:
    child, url, key = process(1.0)
    lines: list[list[str]] = [[] for _ in range(8)]

    def listen(heard: list[str]) -> None:
        headers = bearer(key, Accept="text/event-stream")
        with httpx2.stream(
            "POST", f"{url}/v1/answers", json={"question": "wait"}, headers=headers, timeout=PATIENCE_S
        ) as response:
            for line in response.iter_lines():
                heard.append(line)  # noqa: PERF402 - each must be seen by the main thread as it comes

    threads = [threading.Thread(target=listen, args=[heard]) for heard in lines]
    for thread in threads:
        thread.start()
    until(lambda: all(lines))
    child.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(PATIENCE_S)
    for heard in lines:
        assert heard[-3] == "event: error"
        assert json.loads(heard[-2].removeprefix("data: "))["code"] == "shutting_down"
    out, _ = child.communicate(timeout=PATIENCE_S)
    assert out.strip() == "closed True", "what was there is looked through for garbage as the process ends"
    assert child.returncode == 0


def test_told_to_stop_it_turns_away_who_waits_for_a_place(tmp_path: Path) -> None:
    given = world(tmp_path, concurrent_answers=1, grace_s=1)
    told: list[httpx2.Response] = []

    def ask(url: str) -> None:
        told.append(post(f"{url}/v1/answers", given.reader, "wait"))

    with running(given.system) as url:
        threads = [threading.Thread(target=ask, args=[url]) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: [one.json()["code"] for one in told] == ["overloaded"])  # so one runs and one waits
    for thread in threads:
        thread.join(PATIENCE_S)
    assert [(one.status_code, one.json()["code"]) for one in told[1:]] == [(503, "shutting_down")] * 2


def test_told_to_stop_it_lets_an_answer_finish_that_can(process: Callable) -> None:
    child, url, key = process(12.0)
    with post_raw(url, key, "pause", "text/event-stream") as connection:
        received = connection.recv(4096)
        child.send_signal(signal.SIGTERM)
        while part := connection.recv(4096):
            received += part
    assert b"event: answer" in received
    child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_idle_server_stops_at_once_and_in_order(process: Callable, number: signal.Signals) -> None:
    child, url, _ = process(60.0)
    until(lambda: get(f"{url}/health/live").status_code == 200)
    child.send_signal(number)
    out, _ = child.communicate(timeout=PATIENCE_S)
    assert out.strip() == "closed True"
    assert child.returncode == 0
