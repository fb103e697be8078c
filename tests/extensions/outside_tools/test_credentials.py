"""No secret of a server of tools is shown."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

from foundation.machine import manifest
from foundation.output.credentials import MASK
from serving.settings import load
from tests.doubles.orchestration import ManualClock
from tests.unit.foundation.test_credentials import SECRET

STACK = f"""
extensions = ["outside_tools"]
[foundation]
data_dir = "{{data}}"
[models.chat]
use = "openai_compatible"
model = "m"
api_key = "{SECRET}"
base_url = "http://ada:{SECRET}@127.0.0.1:9/v1"
[models.embedder]
use = "openai_compatible"
model = "e"
base_url = "http://127.0.0.1:9/?api_key={SECRET}"
[[orchestration.tools]]
use = "mcp"
name = "files"
command = ["npx", "server", "--token", "{SECRET}"]
[[observability.exporters]]
use = "otlp"
endpoint = "http://ada:{SECRET}@127.0.0.1:4318"
headers = {{{{ authorization = "Bearer {SECRET}", "x-tenant" = "{SECRET}" }}}}
"""


def test_neither_the_manifest_nor_the_table_of_settings_shows_one(tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(STACK.format(data=tmp_path / "var"), encoding="utf-8")
    loaded = load(path)
    assert SECRET not in str(list(loaded.rows()))
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    made = manifest.build(loaded.settings, weights={}, corpus=None, clock=clock)
    manifest.keep(made, loaded.settings, tmp_path / "manifests")
    (file,) = (tmp_path / "manifests").glob("*.json")
    text = file.read_text(encoding="utf-8")
    assert SECRET not in text
    assert json.loads(text)["settings"]["models"]["chat"]["base_url"] == f"http://{MASK}@127.0.0.1:9/v1"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_new_key_is_no_new_run(tmp_path: Path) -> None:
    path, ids = tmp_path / "stack.toml", set()
    for secret in (SECRET, "AnotherSecret5"):
        path.write_text(STACK.format(data=tmp_path / "var").replace(SECRET, secret), encoding="utf-8")
        ids.add(manifest.build(load(path).settings, weights={}, corpus=None, clock=ManualClock()).manifest_id)
    assert len(ids) == 1
