"""Everybody at once: uploads and streams far beyond the places of a server, all begun in the same moment."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx

from lab.attacks.contract import Attack, Tried
from lab.attacks.victim import Victim

UPLOADS, STREAMS, PEOPLE = 50, 200, 10
HEALTH_S = 10.0
"""The longest that health may take, on a machine that also makes 250 callers."""
PATIENCE_S = 120.0
TERMINAL = frozenset({"answer", "error"})
TENANT = "crowd"


def come_at_once(victim: Victim) -> Tried:
    """Upload 50 documents and open 200 streams in one moment; then look for what was acknowledged."""
    tried = Tried()
    people = [_person(victim, number) for number in range(PEOPLE)]
    reader = people[0]
    victim.upload(reader, "lamp.md", "The moon lamp of crowded runs for nine hours.")
    start = threading.Barrier(UPLOADS + STREAMS)
    calls = [_upload(victim, people[number % PEOPLE], number, start) for number in range(UPLOADS)]
    calls += [_stream(people[number % PEOPLE], start) for number in range(STREAMS)]
    with victim.watching_health() as longest, ThreadPoolExecutor(len(calls)) as pool:
        endings = list(pool.map(lambda call: call(), calls))
        slowest = longest()
    tried.check(held=slowest < HEALTH_S, otherwise=f"health took {slowest:.0f} s")
    acknowledged = [f"crowd-{number}.md" for number, ending in enumerate(endings[:UPLOADS]) if ending in ("200", "201")]
    stored = {document["uri"] for document in reader.get("/v1/documents", params={"limit": 200}).json()["documents"]}
    for person in people:
        person.close()
    for ending in endings:
        tried.check(held=ending in {"200", "201", "503", *TERMINAL}, otherwise=f"a call ended with {ending}")
    for name in acknowledged:
        tried.check(held=name in stored, otherwise=f"{name} was acknowledged and is not there")
    tried.check(held=bool(acknowledged) and "answer" in endings, otherwise="nobody was served")
    shed = endings.count("503")
    tried.check(held=shed > 0, otherwise=f"all of {len(calls)} calls were let in at once")
    return tried


def _upload(victim: Victim, client: httpx.Client, number: int, start: threading.Barrier) -> Callable[[], str]:
    def upload() -> str:
        start.wait(PATIENCE_S)
        try:
            return _status(victim.upload(client, f"crowd-{number}.md", f"Rule {number} of the crowd: lamps stay on."))
        except httpx.HTTPError as error:
            return type(error).__name__

    return upload


def _stream(client: httpx.Client, start: threading.Barrier) -> Callable[[], str]:
    """How a stream ends: its last event, or the status where there was none."""

    def stream() -> str:
        body = {"question": "How long does the moon lamp of crowded run?", "compose": "extractive"}
        headers = {"Accept": "text/event-stream"}
        last = "nothing"
        start.wait(PATIENCE_S)
        try:
            with client.stream("POST", "/v1/answers", json=body, headers=headers) as reply:
                if reply.status_code != httpx.codes.OK:
                    reply.read()
                    return _status(reply)
                for line in reply.iter_lines():
                    if line.startswith("event:"):
                        last = line.removeprefix("event:").strip()
        except httpx.HTTPError as error:
            return type(error).__name__
        return last

    return stream


def _person(victim: Victim, number: int) -> httpx.Client:
    """A client of one person that opens as many connections as it is asked for."""
    headers = {"Authorization": f"Bearer {victim.key(f'carl-{number}', 'agent', tenant=TENANT)}"}
    everything = httpx.Limits(max_connections=None)
    return httpx.Client(base_url=victim.url, headers=headers, timeout=PATIENCE_S, trust_env=False, limits=everything)


def _status(reply: httpx.Response) -> str:
    """The status; a refusal that does not say when to come back is none."""
    if reply.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        clear = "retry-after" in reply.headers and json.loads(reply.text).get("code") == "overloaded"
        return "503" if clear else f"503 that does not say what to do: {reply.text[:100]}"
    return str(reply.status_code)


def reopen_admission() -> None:
    """Everybody may be let in at once."""
    from serving.access import admission

    admitted = admission.Admission.__init__

    def admit_all(self: admission.Admission, **limits: object) -> None:
        admitted(self, **{**limits, "concurrent": 10_000})  # type: ignore[arg-type]

    admission.Admission.__init__ = admit_all  # type: ignore[method-assign]


ATTACKS = (
    Attack(
        name="crowd",
        title="a crowd that comes at once is let in at once, and what it was told is stored is lost",
        run=come_at_once,
        reopen=reopen_admission,
        alone=True,
    ),
)
