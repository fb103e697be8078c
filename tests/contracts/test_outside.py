"""A part from outside the tree (`use = "my_pkg.acme:build"`) goes through the suite of its port like one of ours.

The parts are ours under another name, so that all of their promises are kept. They are put to the suites as `sixply
contracts` does it, which takes one port at a time and has tests of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = {
    "models.embedder": "extensions.development.hashing_embedder",
    "retrieval.chunker": "retrieval.chunkers.fixed",
    "retrieval.ledger": "retrieval.ledgers.sqlite",
    "retrieval.parsers": "retrieval.parsers.text",
    "retrieval.vectors": "retrieval.vectors.memory",
}
SUITES = [f"tests/contracts/test_{name}.py" for name in ("embedder", "chunker", "ledger", "parser", "vectors")]
COUNTS = """
import collections, json, sys, pytest

class Kept:
    def __init__(self):
        self.counts = collections.Counter()

    def pytest_runtest_logreport(self, report):
        if report.when == "call" and "acme" in report.nodeid:
            suite = report.nodeid.partition("::")[0]
            self.counts[f"{suite} {report.outcome}"] += 1

kept = Kept()
code = pytest.main([*sys.argv[1:], "-q", "--no-header", "-p", "no:cacheprovider"], plugins=[kept])
print("\\n" + json.dumps([int(code), kept.counts]))
"""


def test_parts_of_five_ports_keep_every_promise_under_another_name(tmp_path: Path) -> None:
    package = tmp_path / "my_pkg"
    package.mkdir()
    (package / "__init__.py").touch()
    for port, module in PARTS.items():
        name = port.replace(".", "_")
        options = "" if port == "retrieval.parsers" else "Options, "
        (package / f"acme_{name}.py").write_text(f"from {module} import {options}build\n")
    parts = {port: [{"use": f"my_pkg.acme_{port.replace('.', '_')}:build"}] for port in PARTS}
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | {
        "CONTRACT_PARTS": json.dumps(parts),
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
    }
    ran = subprocess.run(
        [sys.executable, "-c", COUNTS, *SUITES, "-k", "acme and not traced"],
        capture_output=True, text=True, check=False, cwd=ROOT, env=environment, timeout=540,
    )  # fmt: skip
    code, counts = json.loads(ran.stdout.splitlines()[-1])
    assert code == 0, ran.stdout[-3000:]
    kept = {suite: counts.get(f"{suite} passed", 0) for suite in SUITES}
    assert all(count >= 12 for count in kept.values()), kept
    assert not any(name.endswith(("failed", "skipped")) for name in counts), counts
