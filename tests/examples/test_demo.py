"""`make demo`, whole, on the real models, in a network namespace that holds nothing but a loopback device."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests import services

ROOT = Path(__file__).parents[2]
LAYERS = ["foundation", "models", "retrieval", "orchestration", "serving", "observability"]

OFFLINE = """
import fcntl, os, socket, struct, sys
name, up = b"lo", 0x1 | 0x40
with socket.socket() as control:
    fcntl.ioctl(control, 0x8914, struct.pack("16sh", name, up))  # SIOCSIFFLAGS: loopback up, as `ip link set lo up` does
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def namespaces_allowed() -> bool:
    unshare = shutil.which("unshare")
    return (
        unshare is not None
        and subprocess.run([unshare, "-rn", "true"], capture_output=True, check=False).returncode == 0
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """One run of the demo without any network, and the folder that it wrote to."""
    if not namespaces_allowed():
        services.refused("make a network namespace (unshare of util-linux, and user namespaces)")
    data = tmp_path_factory.mktemp("var")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SIXPLY_")}
    environment |= {"SIXPLY__FOUNDATION__DATA_DIR": str(data), "HOME": str(data), "COLUMNS": "120"}
    command = ["unshare", "-rn", sys.executable, "-c", OFFLINE, "-m", "examples.cli", "demo"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=540, check=False)
    return done, data / "demo"


@pytest.mark.real_model
@pytest.mark.slow
def test_the_demo_succeeds_without_any_network(demo: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, _ = demo
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]


@pytest.mark.real_model
@pytest.mark.slow
def test_its_report_has_six_parts_and_each_did_its_job(demo: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, data = demo
    report = json.loads((data / "reports" / "demo.json").read_text(encoding="utf-8"))
    assert report["ok"] is True
    assert report["seconds"] > 0
    assert list(report["parts"]) == LAYERS
    assert all(part["ok"] and part["checks"] for part in report["parts"].values())


@pytest.mark.real_model
@pytest.mark.slow
def test_its_refunds_are_on_the_desk_afterwards(demo: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, data = demo
    with closing(sqlite3.connect(data / "desk.sqlite")) as desk:
        assert desk.execute("SELECT order_id FROM refunds ORDER BY 1").fetchall() == [
            ("QM-10013",),
            ("QM-10017",),
            ("QM-10035",),
        ]


@pytest.mark.real_model
@pytest.mark.slow
def test_nothing_waits_for_anybody_that_it_did_not_tell_of(
    demo: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    _, data = demo
    with closing(sqlite3.connect(data / "approvals.sqlite")) as approvals:
        assert approvals.execute("SELECT status FROM approvals").fetchall() == [("approved",)] * 3


@pytest.mark.real_model
@pytest.mark.slow
def test_it_prints_no_traceback_and_no_library_noise(demo: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, _ = demo
    output = done.stdout + done.stderr
    for noise in ("Traceback", "Warning:", "HF_TOKEN", "Task exception was never retrieved"):
        assert noise not in output, output[-3000:]


@pytest.mark.real_model
@pytest.mark.slow
def test_it_leaves_the_system_as_it_was_and_what_the_readme_says_to_do_next_works(
    demo: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    ran, data = demo
    assert [path.name for path in data.parent.iterdir() if not path.name.startswith(".")] == ["demo"]
    assert f"Its data are in {data}" in ran.stdout
    environment = {**os.environ, "SIXPLY__FOUNDATION__DATA_DIR": str(data.parent)}
    make = ["make", "--no-print-directory", f"BIN={Path(sys.executable).parent}", "-o", "_base"]
    readme = (ROOT / "README.md").read_text().splitlines()
    ingested = next(line for line in readme if "make ingest" in line).partition("make ")[2].partition("#")[0].split()
    question = next(line for line in readme if "make ask" in line)
    asked = question.partition('Q="')[2].rstrip('"')
    for target in (ingested, ["ask", f"Q={asked}"], ["trace", "ID=last"]):
        done = subprocess.run(
            [*make, *target], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=540, check=False
        )
        refused = (
            2 if target is ingested else 0
        )  # two of the documents are hostile, and make turns each failure into a 2
        assert done.returncode == refused, done.stdout + done.stderr
    assert "retrieval sqlite+exact" in done.stdout
    assert "whole" in done.stdout


@pytest.mark.real_model
@pytest.mark.slow
def test_the_readme_shows_what_it_prints(demo: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    printed = " ".join(demo[0].stdout.split())
    shown = (ROOT / "README.md").read_text(encoding="utf-8").partition("## What you will see")[2]
    lines = shown[shown.index("    3. retrieval") : shown.index("    6. observability")].splitlines()
    pieces = [" ".join(piece.split()) for line in lines for piece in line.split("...")]
    assert len(pieces) > 20
    assert [piece for piece in pieces if piece not in printed] == []
