"""Words of a person that are found in the data folder after their erasure, and words of somebody else that are gone."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx

from lab.attacks.contract import Attack, Tried
from lab.attacks.victim import ROOT, Victim

HOME, OTHER = "alder-clinics", "bexley-schools"
"""Tenants that the support desk knows."""
ERASE_S = 120
LEAST = 12
"""Of the surfaces, those that store what is said there."""
DOCUMENT = "# Warranty\n\nThe warranty of the lamp is two years."
WORD = "canaryz"
"""How everything begins that the person says; a letter for the surface follows."""
ELSEWHERE = {f"{WORD}decision": ("checkpoints.sqlite",)}
"""What stays, as the report says: the note on a colleague's approval, in the colleague's own conversation."""
KEEPS = "canaryk"
"""The same of a person of that name in the other tenant."""
MARKER = "reopened"
"""A file beside stack.toml: what the command that erases is to leave out, since it is no part of the server."""
PROGRAM = """
import sys
from pathlib import Path
from lab.attacks import erasing
left_out = Path(sys.argv[1]).with_name(erasing.MARKER)
if left_out.exists():
    getattr(erasing, left_out.read_text())()
from serving.cli.main import app
app(["erase", "--stack", *sys.argv[1:]])
"""


def grep_after_erasure(victim: Victim) -> Tried:
    """Say something on every surface, be erased while the server runs, and read every byte of the data folder."""
    tried = Tried()
    subject = "zoe.o'brien-é"
    person = victim.person(subject, "agent", "approver", tenant=HOME)
    victim.upload(person, "erasing.md", DOCUMENT)
    words = dict(_say_everything(victim, person))
    stored = [word for word in words if _files_with(victim.data, word)]
    if len(stored) < LEAST:
        raise RuntimeError(f"only {stored} of {list(words)} were stored anywhere: there is nothing to erase")
    report = _erase(victim, subject)
    for word, surface in words.items():
        left = [file for file in _files_with(victim.data, word) if file not in ELSEWHERE.get(word, ())]
        tried.check(held=not left, otherwise=f"what was said as {surface} is still in {', '.join(left)}")
    tried.check(held=not report["unclaimed"], otherwise=f"nobody answers for {report['unclaimed']}")
    again = _erase(victim, subject)
    counts = {row["store"]: row["count"] for row in again["erased"] if row["count"]}
    tried.check(held=not counts, otherwise=f"a second erasure still found {counts}")
    return tried


def erase_the_neighbour(victim: Victim) -> Tried:
    """Be erased, and look what is left of the person of the same name in another tenant, and of those with names like it."""
    tried = Tried()
    people = {
        f"{KEEPS}a": victim.person("zoe-n", "agent", tenant=OTHER),
        f"{KEEPS}b": victim.person("Zoe-n", "agent", tenant=HOME),
        f"{KEEPS}c": victim.person("zoe-n%", "agent", tenant=HOME),
    }
    for word, person in people.items():
        victim.upload(person, "erasing.md", DOCUMENT)
        answer = victim.ask(person, f"How long is the warranty of {word}?")
        person.post(f"/v1/answers/{answer['answer_id']}/feedback", json={"verdict": "rejected", "reason": f"No {word}"})
        victim.ask(person, f"Please remember that my dog is called {word}")
    before = {word: _files_with(victim.data, word) for word in people}
    erased = victim.person("zoe-n", "agent", tenant=HOME)
    victim.ask(erased, "Is anything here?")
    _erase(victim, "zoe-n")
    for word, person in people.items():
        notes = [row["edit"] or row["reason"] for row in person.get("/v1/feedback").json()["feedback"]]
        tried.check(held=any(word in note for note in notes), otherwise=f"the note of {word} is gone")
        conversations = person.get("/v1/conversations").json()["conversations"]
        tried.check(held=bool(conversations), otherwise=f"the conversations of {word} are gone")
        lost = {file for file in before[word] if not file.endswith("-wal")} - {*_files_with(victim.data, word)}
        tried.check(held=not lost, otherwise=f"{word} is gone from {', '.join(sorted(lost))}")
        tried.check(held=person.get("/v1/documents").status_code == 200, otherwise=f"the key of {word} is gone")
    return tried


def write_after_erasure(victim: Victim) -> Tried:
    """Begin requests, be erased, and send the rest of them: they were let in before."""
    tried = Tried()
    subject = "late-zoe"
    key = victim.key(subject, "agent", tenant=HOME)
    bodies = {
        "/v1/answers": {"question": f"Is {WORD}later here?"},
        "/v1/chat/completions": {
            "model": "sixply",
            "messages": [{"role": "user", "content": f"Is {WORD}laterb here?"}],
        },
        "/v1/jobs/answers": {"questions": [{"question": f"Is {WORD}laterc here?"}]},
    }
    begun, erased = threading.Barrier(len(bodies) + 1), threading.Event()
    statuses: dict[str, int] = {}

    def send(path: str, body: dict[str, Any]) -> None:
        def content() -> Iterator[bytes]:
            text = json.dumps(body).encode()
            yield text[:10]
            begun.wait(ERASE_S)
            erased.wait(ERASE_S)
            yield text[10:]

        headers = {"Content-Type": "application/json", "Idempotency-Key": f"late{path.replace('/', '-')}"}
        statuses[path] = victim.client(key).post(path, content=content(), headers=headers).status_code

    threads = [threading.Thread(target=send, args=item, daemon=True) for item in bodies.items()]
    for thread in threads:
        thread.start()
    begun.wait(ERASE_S)
    time.sleep(0.5)  # what was sent must have come in
    _erase(victim, subject)
    erased.set()
    for thread in threads:
        thread.join(ERASE_S)
    time.sleep(1)  # what was begun in the background
    for path, status in statuses.items():
        tried.check(held=status == httpx.codes.GONE, otherwise=f"{path} was answered with {status}")
    left = _files_with(victim.data, f"{WORD}later")
    tried.check(held=not left, otherwise=f"what was said while the person was erased is in {', '.join(left)}")
    return tried


def _say_everything(victim: Victim, person: httpx.Client) -> Iterator[tuple[str, str]]:  # noqa: PLR0915 - a list, read from top to bottom
    """Each word that was said, and where."""

    def word(letters: str) -> str:
        return f"{WORD}{letters}"

    asked = victim.ask(person, f"How long is the warranty of {word('answer')}?")
    yield word("answer"), "a question"
    person.post(f"/v1/answers/{asked['answer_id']}/feedback", json={"verdict": "edited", "edit": word("note")})
    yield word("note"), "feedback"
    events = {"Accept": "text/event-stream"}
    person.post("/v1/answers", json={"question": f"Is {word('stream')} here?"}, headers=events)
    yield word("stream"), "a streamed question"
    message = [{"role": "user", "content": f"Is {word('openai')} here?"}]
    person.post("/v1/chat/completions", json={"model": "sixply", "messages": message})
    yield word("openai"), "a chat completion"
    person.post("/v1/responses", json={"model": "sixply", "input": f"Is {word('responses')} here?"})
    yield word("responses"), "a response"
    message = [{"role": "user", "content": f"Is {word('messages')} here?"}]
    person.post("/v1/messages", json={"model": "sixply", "max_tokens": 100, "messages": message})
    yield word("messages"), "a message"
    person.post("/v1/search", json={"query": word("search")})
    yield word("search"), "a search"
    schema = {"type": "object", "properties": {word("field"): {"type": "string"}}}
    person.post("/v1/objects", json={"question": f"What is {word('object')}?", "schema": schema})
    yield word("object"), "an object"
    yield word("field"), "a field of an object"
    call = {"name": "answer", "arguments": {"question": f"Is {word('mcp')} here?"}}
    headers = {"Accept": "application/json, text/event-stream"}
    person.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}, headers=headers)
    yield word("mcp"), "a call of a tool over MCP"
    question = {"question": f"Is {word('replay')} here?"}
    person.post("/v1/answers", json=question, headers={"Idempotency-Key": "erasing-1"})
    yield word("replay"), "a request with an idempotency key"
    victim.ask(person, f"Please remember that my dog is called {word('fact')}")
    yield word("fact"), "a fact"
    victim.ask(person, f"Please open a ticket: the {word('ticket')} printer is broken")
    yield word("ticket"), "a request that waits for an approval"
    colleague = victim.person("colleague-e", "agent", "approver", tenant=HOME)
    _decide_all(colleague, "yes")
    victim.ask(colleague, "Please open a ticket: a colleague's printer is broken")
    _decide_all(person, word("decision"))
    yield word("decision"), "a note on a colleague's approval"
    victim.upload(person, "broken.pdf", b"%PDF-1.4 " + word("upload").encode())
    yield word("upload"), "a file that was refused"
    questions = [{"question": f"Is {word('job')} here?"}]
    job = person.post("/v1/jobs/answers", json={"questions": questions}).json()
    yield word("job"), "a question of a job"
    files = [("files", (f"{word('name')}.pdf", b"%PDF-1.4 " + word("file").encode()))]
    ingested = person.post("/v1/jobs/ingest", files=files).json()
    yield word("file"), "a file of a job"
    for begun in (job, ingested):
        _wait_for(person, begun.get("job_id", ""))
    (victim.data / "reports").mkdir(exist_ok=True)
    (victim.data / "reports" / "page.html").write_text(
        f"<p>{asked['answer_id']}: {word('report')}</p>", encoding="utf-8"
    )
    yield word("report"), "a report that shows an answer"


def _decide_all(approver: httpx.Client, note: str) -> None:
    for waiting in approver.get("/v1/approvals").json()["approvals"]:
        approver.post(f"/v1/approvals/{waiting['approval_id']}", json={"approve": True, "reason": note})


def _wait_for(person: httpx.Client, job_id: str) -> None:
    give_up = time.monotonic() + ERASE_S
    while person.get(f"/v1/jobs/{job_id}").json().get("status") == "running" and time.monotonic() < give_up:
        time.sleep(0.05)


def _erase(victim: Victim, subject: str, tenant: str = HOME) -> dict[str, Any]:
    """What `sixply erase` reports."""
    to = victim.folder / "erased.json"
    command = [
        sys.executable,
        "-c",
        PROGRAM,
        str(victim.stack),
        "--tenant",
        tenant,
        "--user",
        subject,
        "--json",
        str(to),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=ERASE_S, check=False)
    if not to.exists():
        raise RuntimeError(f"nobody was erased: {done.stdout[-1000:]}{done.stderr[-2000:]}")
    report: dict[str, Any] = json.loads(to.read_text(encoding="utf-8"))
    to.unlink()
    return report


def _files_with(folder: Path, word: str) -> list[str]:
    wanted = word.encode()
    return [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if wanted in _bytes_of(path).lower()]


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):  # gone meanwhile
        return b""


def leave_logs() -> None:
    """What was deleted stays in the free space of its file, and in its write-ahead log while the server has it open."""
    from foundation.stores.sqlite_file import SqliteFile

    SqliteFile.compact = lambda _: None  # type: ignore[assignment,method-assign]


def forget_tenants() -> None:
    """Notes are erased by the name of who wrote them alone."""
    from extensions.feedback import store as outcomes

    def erase_rows(connection: Any, person: Any) -> int:
        statement = "UPDATE outcomes SET note = '', recorded_by = 'erased' WHERE recorded_by = ?"
        return int(connection.execute(statement, (person.subject,)).rowcount)

    object.__setattr__(outcomes.STORE, "erase_rows", erase_rows)


def reopen_logs() -> None:
    """For the command that erases."""
    _leave_out(leave_logs.__name__)


def reopen_tenants() -> None:
    """For the command that erases."""
    _leave_out(forget_tenants.__name__)


def reopen_late_writes() -> None:
    """Whoever was let in before writes on."""
    from foundation.stores import erasures

    erasures.is_erased = lambda: False


def _leave_out(name: str) -> None:
    Path(sys.argv[1], MARKER).write_text(name, encoding="utf-8")


ATTACKS = (
    Attack(
        name="erased-words",
        title="words of an erased person are found in the data folder",
        run=grep_after_erasure,
        reopen=reopen_logs,
    ),
    Attack(
        name="erased-neighbour",
        title="erasing a person takes the words of one of the same name in another tenant",
        run=erase_the_neighbour,
        reopen=reopen_tenants,
    ),
    Attack(
        name="erased-late",
        title="a request that began before the erasure of its person is kept after it",
        run=write_after_erasure,
        reopen=reopen_late_writes,
    ),
)
