"""A project in its own environment, as its README tells a person who has nothing but Python: every line, an answer over its API, its checks.

`prove` runs with the packages of the template, which are more than a project has: what a framework imports at run time shows only here.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from lab.project.prove import first_question
from serving.cli import terminal

KEY = [".venv/bin/sixply", "keys", "add", "--subject=first-hour", "--tenant=local", "--role=agent"]
STARTS_WITHIN_S, ANSWERS_WITHIN_S, STOPS_WITHIN_S = 120, 120, 30
LAST = 3_000
"""Characters of what a command said last."""


class DoesNotWork(Exception):
    """A line of the project's README, or one of its own checks, failed in the project's environment."""


def try_first_hour(project: Path, package: str) -> bool:
    """Do what the README says, line by line, then ask over the API, then run the project's own checks; whether all went well."""
    out = terminal.console()
    environment = _environment_of(project)
    for command in (*_lines_of(project / "README.md"), ["make", "check"], ["make", "test"]):
        began, said = time.monotonic(), shlex.join(command)
        try:
            with out.status(said):  # packages and tests take minutes
                if command == ["make", "serve"]:
                    _ask_over_its_api(project, package, environment)
                else:
                    _run(project, command, environment)
        except DoesNotWork as error:
            out.print(f"  ✗ {said} ({time.monotonic() - began:.0f} s)")
            out.print(terminal.plain(str(error)))
            return False
        out.print(f"  ✓ {said} ({time.monotonic() - began:.0f} s)")
    return True


def _lines_of(readme: Path) -> Iterator[list[str]]:
    """The commands of the README's first block, as a shell reads them."""
    block = re.search(r"(?:^    make .*\n)+", readme.read_text(encoding="utf-8"), re.MULTILINE)
    for line in block.group().splitlines() if block else ():
        yield shlex.split(line, comments=True)


def _environment_of(project: Path) -> dict[str, str]:
    """The person's, without anything of the environment that this runs in."""
    ours = str(Path(sys.executable).parent)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SIXPLY_", "MAKE", "MFLAGS", "PYTHON", "PYTEST_", "VIRTUAL_ENV"))
    }
    path = os.pathsep.join(folder for folder in kept.get("PATH", os.defpath).split(os.pathsep) if folder != ours)
    return kept | {"PATH": path, "PWD": str(project)}


def _run(project: Path, command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DoesNotWork(f"{(done.stdout + done.stderr)[-LAST:]}\nThat ran in {project}: {shlex.join(command)}")
    return done.stdout


def _ask_over_its_api(project: Path, package: str, environment: dict[str, str]) -> None:
    """Its server answers the first question of its documents for a key that a person made."""
    key = _run(project, KEY, environment).split()[0]
    question = first_question(project, package) or "How many people fit into room R-12?"
    with _serving(project, environment) as url:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        request = Request(f"{url}/v1/answers", json.dumps({"question": question}).encode(), headers)
        try:
            with urlopen(request, timeout=ANSWERS_WITHIN_S) as reply:
                answer: dict[str, Any] = json.load(reply)
        except (URLError, ValueError) as error:
            said = error.read().decode() if hasattr(error, "read") else str(error)
            raise DoesNotWork(f"POST /v1/answers failed in {project}: {error}\n{said[-LAST:]}") from error
    if answer["status"] != "answered" or not answer["citations"]:
        raise DoesNotWork(f'"{question}" over the API in {project} was not answered from a document:\n{answer}')


@contextmanager
def _serving(project: Path, environment: dict[str, str]) -> Iterator[str]:
    """`make serve` on a port that is free, until the block ends; its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url, log = f"http://127.0.0.1:{port}", project / "var" / "first-hour.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("wb") as written:
        process = subprocess.Popen(
            ["make", "serve"],
            cwd=project, env=environment | {"SIXPLY__SERVING__HTTP__PORT": str(port)}, stdout=written, stderr=written,
            start_new_session=True,
        )  # fmt: skip
    try:
        until = time.monotonic() + STARTS_WITHIN_S
        while not _is_up(f"{url}/health/ready"):
            if process.poll() is not None or time.monotonic() > until:
                raise DoesNotWork(f"make serve does not serve in {project}:\n{log.read_text()[-LAST:]}")
            time.sleep(0.2)
        yield url
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(STOPS_WITHIN_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _is_up(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False
