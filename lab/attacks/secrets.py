"""Keys and passwords of the configuration, looked for in everything that the server says, logs and writes."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

from lab.attacks.contract import Attack, Tried
from lab.attacks.victim import ROOT, Victim

CANARY = "canarypw7Kq"
STACK = f"""
[models.chat]
use = "openai_compatible"
model = "nobody"
api_key = "{CANARY}key"
base_url = "http://ada:{CANARY}@127.0.0.1:9/v1?api_key={CANARY}"
[serving.quotas.caller.requests]
day = 1000
[[observability.exporters]]
use = "otlp"
endpoint = "http://ada:{CANARY}@127.0.0.1:9"
headers = {{ authorization = "Bearer {CANARY}", "x-tenant" = "{CANARY}" }}
[[observability.exporters]]
use = "sqlite"
"""


def look_for_secrets(victim: Victim) -> Tried:
    """As an operator and as a reader over HTTP, as another account of the machine in the files, and at the terminal."""
    tried = Tried()
    operator = victim.person("secret-ops", "operator", "agent", tenant="edges-secret")
    reader = victim.person("secret-reader", tenant="edges-secret")
    victim.upload(operator, "moon.md", "The moon lamp runs for nine hours.")
    said = {
        "an answer": str(victim.ask(reader, "How long does the moon lamp run?", compose="generative")),
        **{
            path: operator.get(path).text
            for path in ("/health/ready", "/metrics", "/v1/usage", "/openapi.json", "/v1/stops")
        },
    }
    for command in ("config", "doctor"):
        ran = subprocess.run(
            [sys.executable, "-m", "serving.cli", command, "--stack", str(victim.stack)],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        said[f"sixply {command}"] = ran.stdout + ran.stderr
    said["the log"] = victim.log.read_text(encoding="utf-8")
    for what, text in said.items():
        tried.check(held=CANARY not in text, otherwise=f"{what} shows a secret")
    for file in filter(Path.is_file, victim.data.rglob("*")):
        inside = CANARY.encode() in file.read_bytes()
        tried.check(held=not inside, otherwise=f"{file.relative_to(victim.data)} holds a secret")
    for file in (victim.data / "manifests").glob("*.json"):
        mode = stat.S_IMODE(file.stat().st_mode)
        tried.check(held=mode & 0o077 == 0, otherwise=f"{file.name} can be read by others: {mode:o}")
    return tried


def _show_everything() -> None:
    import re

    from foundation.output import credentials

    credentials._SHAPES = ()  # type: ignore[assignment]
    credentials._HEADERS = re.compile(r"(?!)")
    credentials.is_secret = lambda _: False  # type: ignore[assignment]


ATTACKS = (
    Attack(
        name="secrets-shown",
        title="a password in an address or a header stands in a manifest, an error, the log or make config",
        run=look_for_secrets,
        reopen=_show_everything,
        stack=STACK,
    ),
)
