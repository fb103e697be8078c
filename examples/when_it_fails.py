"""How does this system fail? A flag such as --crash plays one failure; without a flag, all are played.

A failure that people can work with is neither silent nor covered by an invented answer. Two of the failing models are
doubles, and say so; the time limit and the crash are real.
"""

import subprocess
import sys
import tempfile
from typing import Any

from examples.small_system import VISITOR, ask, small_system, store
from foundation.errors import SixplyError

FARE, BAND = "How much is a single adult ticket to Graynes?", "Which band plays on board on Saturdays?"
LIE = "A ticket to Graynes costs 99 euros [1]."
IMPATIENT = {"resilience": {"timeout_s": 0.02}}
FAILURES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "--provider-down": ("a double refuses every call", FARE, {"chat": {"use": "scripted", "raises": "upstream_down"}}),
    "--garbage": (f"a double writes: {LIE}", FARE, {"chat": {"use": "scripted", "replies": [LIE]}}),
    "--timeout": ("the bundled model gets 20 milliseconds", FARE, IMPATIENT),
    "--no-evidence": (f"no document answers: {BAND}", BAND, {}),
}
FLAGS = (*FAILURES, "--crash")
NOTES = 500


def fail(flag: str) -> None:
    """Ask a system whose model must write while a part of it fails."""
    what, question, models = FAILURES[flag]
    writing = {"answers": {"compose": "generative"}, "tools": []}
    print(f"{flag}: {what}")
    with small_system({"models": models, "orchestration": writing}) as system:
        try:
            answer = ask(system, question)
            print(f"  {answer.status}: {answer.text}")
        except SixplyError as error:
            print(f"  error {error.code}, {'' if error.retryable else 'not '}worth trying again: {error}")


def crash() -> None:
    """Kill a child process while it stores notes one by one, and open its folder."""
    print(f"--crash: a child is killed while it stores {NOTES} notes, and its folder is opened again")
    with tempfile.TemporaryDirectory(prefix="ladder-") as folder:
        command = [sys.executable, "-m", "examples.when_it_fails", "--child", folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            stored = [child.stdout.readline().strip() for _ in range(10)]
            child.kill()  # SIGKILL: it cannot tidy up
            stored += [line.strip() for line in child.stdout if line.endswith("\n")]
        with small_system({"foundation": {"data_dir": folder}}, documents={}) as system:
            there = {
                document.source.uri for document in system.retrieval.ledger.documents(system.policy.scope(VISITOR))
            }
            print(f"  of {len(stored)} notes that it had acknowledged; lost: {len(set(stored) - there)}")
            print(f"  answered from one of them: {ask(system, 'What is the code word of locker 3?').text}")


def store_notes(folder: str) -> None:
    with small_system({"foundation": {"data_dir": folder}}, documents={}) as system:
        for number in range(NOTES):
            store(system, {f"note-{number}.md": f"# Lockers\n\nThe code word of locker {number} is gull-{number}."})
            print(f"note-{number}.md", flush=True)


def main(*flags: str) -> None:
    if flags[:1] == ("--child",):
        store_notes(flags[1])
        return
    if unknown := {*flags} - {*FLAGS}:
        sys.exit(f"{' '.join(unknown)} is no failure. There are: {' '.join(FLAGS)}")
    for flag in flags or FLAGS:
        crash() if flag == "--crash" else fail(flag)
    print("One layer up: and when nothing fails, but a request is odd? python -m examples.edge_cases")


if __name__ == "__main__":
    main(*sys.argv[1:])
