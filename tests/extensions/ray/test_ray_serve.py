"""The API behind Ray Serve: the tests of the API itself, asked through the proxy of a real deployment; and draining."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx2
import openai
import pytest

from extensions.ray import replicas as ray_replicas
from foundation.clock import SystemClock
from foundation.errors import InvalidSetting
from foundation.extensions import installed
from serving.access.identity import KeyStore
from serving.cli import serve
from serving.settings import HttpSettings, Loaded, ServingSettings, Settings, load
from tests.doubles.serving import World
from tests.doubles.stacks import stack
from tests.integration.test_api import (  # noqa: F401 - collected here, with this module's fixtures
    bearer,
    test_a_failure_is_a_problem_in_json_and_the_last_event_of_a_stream,
    test_a_path_that_does_not_exist_is_closed_to_strangers_and_404_to_callers,
    test_a_question_of_100_000_characters_is_refused_with_the_limit,
    test_a_stream_has_steps_tokens_and_the_answer_last,
    test_after_a_failure_the_next_request_works,
    test_an_answer_as_json_carries_citations_cost_and_trace,
    test_an_operator_reads_the_documentation,
    test_another_tenants_document_does_not_exist,
    test_basic_credentials_change_nothing,
    test_no_origin_is_ever_allowed,
    test_retry_after_is_whole_seconds_rounded_up,
)

if "openai_api" in installed():
    from tests.extensions.openai_api.test_chat import (  # noqa: F401
        test_a_completion_has_the_answer_its_footnotes_usage_and_our_extra_field,
        test_a_refund_in_chat_names_the_approval_that_it_waits_for,
        test_a_stream_adds_up_to_the_completion_and_ends_with_usage,
        test_a_stream_that_fails_raises_and_never_ends_as_if_it_were_done,
        test_errors_are_those_that_the_client_knows,
    )

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[3]
PATIENCE_S = 240
PATIENT = {"RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60", "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60"}
"""On a busy machine a proxy needs longer to start than the five seconds after which Ray takes it for dead."""
STREAMS = 12


@dataclass(frozen=True)
class Deployment:
    url: str
    world: World
    process: subprocess.Popen[str]
    folder: Path

    def scale(self, replicas: int) -> None:
        """Returns when so many are running; one too many may still be on its way out."""
        order, answer = self.process.stdin, self.process.stdout
        assert order
        assert answer
        order.write(f"{replicas}\n")
        order.flush()
        assert answer.readline().strip() == str(replicas)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("ray")
    told = folder / "told.json"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.extensions.ray.on_ray", folder, told], env={**os.environ, **PATIENT},
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    try:
        _wait_for(told, process, folder / "log")
        known = json.loads(told.read_text(encoding="utf-8"))
        yield Deployment(known.pop("url"), World(system=None, **known), process, folder)
    finally:
        _end(process)


def _wait_for(told: Path, process: subprocess.Popen[str], log: Path) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not told.exists():
        assert process.poll() is None, log.read_text(errors="replace")[-4000:]
        assert time.monotonic() < give_up, log.read_text(errors="replace")[-4000:]
        time.sleep(0.1)


def _end(process: subprocess.Popen[str]) -> None:
    pipes: list[IO[str] | None] = [process.stdin, process.stdout]
    for pipe in pipes:
        if pipe:
            pipe.close()
    try:
        process.wait(90)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture
def given(deployment: Deployment) -> World:
    return deployment.world


@pytest.fixture
async def api(deployment: Deployment) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=deployment.url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def base_url(deployment: Deployment) -> str:
    return f"{deployment.url}/v1"


@pytest.fixture
def client(given: World, base_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base_url, api_key=given.reader, max_retries=0) as client:
        yield client


def test_a_replica_that_is_to_go_finishes_what_it_began(deployment: Deployment) -> None:
    """One of two replicas is taken away while streams are open on both; each stream ends with its answer."""
    deployment.scale(2)
    begun = threading.Semaphore(0)
    with ThreadPoolExecutor(STREAMS) as callers:
        streams = [callers.submit(_last_event, deployment, "hold on", begun) for _ in range(STREAMS)]
        try:
            for _ in streams:
                assert begun.acquire(timeout=PATIENCE_S)
            deployment.scale(1)
        finally:
            (deployment.folder / "let-go").touch()
        assert [stream.result(PATIENCE_S) for stream in streams] == ["answer"] * STREAMS
    assert _last_event(deployment, "and now?", begun) == "answer"


def _last_event(deployment: Deployment, question: str, begun: threading.Semaphore) -> str:
    last = "nothing"
    with httpx2.Client(timeout=PATIENCE_S, trust_env=False) as client, client.stream(
        "POST", f"{deployment.url}/v1/answers", json={"question": question},
        headers=bearer(deployment.world.agent, Accept="text/event-stream"),
    ) as response:  # fmt: skip
        assert response.status_code == 200
        begun.release()
        for line in response.iter_lines():
            if line.startswith("event: "):
                last = line.removeprefix("event: ")
    return last


def test_an_extension_moves_serving_to_the_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(tmp_path)
    KeyStore.of(settings, SystemClock()).create(subject="ada", tenant="north", roles=["reader"])
    served: list[Settings] = []

    def double(loaded: Loaded, announce: Callable[[str], None]) -> bool:
        served.append(loaded.settings)
        announce("http://127.0.0.1:1")
        return True

    monkeypatch.setattr(ray_replicas, "serve", double)
    monkeypatch.setattr(
        "observability.telemetry.logs.set_up", lambda _: None
    )  # it would take the log of the test run over
    serve.serve_api(Loaded(settings, {}))
    assert served == [settings]
    assert "http://127.0.0.1:1" in capsys.readouterr().out


def test_a_port_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    settings = settings_of(tmp_path).model_copy(update={"serving": ServingSettings(http=HttpSettings(port=0))})
    with pytest.raises(InvalidSetting, match="Name one"), ray_replicas.deploy_replicas(Loaded(settings, {})):
        pass


def settings_of(folder: Path) -> Settings:
    return load(stack(folder, extensions=["workers", "ray"])).settings
