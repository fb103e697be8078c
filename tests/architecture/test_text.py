"""Nothing in the repository names one machine, one index or one person's folder."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests import services

ROOT = Path(__file__).resolve().parents[2]

# Written in two halves, so that this file does not find itself.
FORBIDDEN = {
    "a package index": re.compile(
        "|".join(["py" + r"pi\.org", "python" + r"hosted\.org", "download.py" + r"torch\.org", "npm" + r"js\.org"])
    ),
    "a place on one machine": re.compile(
        "(?<![\\w.~])/(" + "|".join(["wo" + "rk", "ho" + "me", "Us" + "ers", "ro" + "ot"]) + ")/[\\w.]"
    ),
    "a temporary folder": re.compile("(?<![\\w.])/t" + "mp/[\\w.]"),
}
ORIGIN = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"].get("sixply", {}).get("origin") or "\0"
"""Where a project that was made from a template takes its updates from, which may be a folder."""
BINARY = {".pdf", ".docx", ".png", ".jpg", ".ico", ".gguf", ".bin", ".sqlite"}


def files() -> list[Path]:
    """Everything that is committed or would be."""
    if not (ROOT / ".git").exists():
        services.refused("tell which files belong to the repository: it has no git checkout of it")
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_names(what):
    found = []
    for path in files():
        if path.suffix not in BINARY:
            text = path.read_text(encoding="utf-8", errors="replace").replace(ORIGIN, "")
            found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in FORBIDDEN[what].finditer(text)]
    assert found == []


LAYERS = ("foundation", "models", "retrieval", "orchestration", "observability", "serving")
EXAMPLE = re.compile("Quill" + r"mark|\bQM-\d", re.IGNORECASE)


def test_no_layer_names_the_example_company_or_its_orders():
    """What only its domain explains stands in the metadata of its tools and in its files, so that it can be deleted."""
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in files()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in LAYERS
        for match in EXAMPLE.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_no_file_is_so_large_that_it_must_be_generated_or_fetched_instead():
    large = {str(path.relative_to(ROOT)): path.stat().st_size for path in files() if path.stat().st_size > 1_000_000}
    assert large == {}
