"""The documentation builds as a site, strictly and without the network, and the reference pages are what the code says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import MADE
from tests.docs import reference

ROOT = Path(__file__).parents[2]
COMPLETE = not MADE
"""A project has the pages of the whole template, and fewer extensions."""
FETCHED = re.compile(r"""<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=["']?((?:https?:)?//[^"'> ]+)""")


def build(tree: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a tree, in a network of its own that leads nowhere where the machine can make one."""
    alone = ["unshare", "-rn"] if shutil.which("unshare") else []
    if alone and subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        alone = []
    command = [*alone, sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=tree, env=quiet, capture_output=True, text=True, check=False)


def test_the_site_builds_strictly_and_its_pages_fetch_nothing(tmp_path: Path) -> None:
    done = build(ROOT, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {page: page.read_text(encoding="utf-8") for page in tmp_path.rglob("*.html")}
    assert len(pages) > 30
    assert {page: fetched for page, text in pages.items() if (fetched := FETCHED.findall(text))} == {}


def test_a_broken_link_and_a_page_that_is_missing_are_errors(tmp_path: Path) -> None:
    for path in ("mkdocs.yml", "pyproject.toml", "tests/docs/site_hooks.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    broken = "# Words\n\n[no page](nowhere.md) [no heading](api.md#nowhere) [code](../policy.toml)\n"
    (tmp_path / "docs" / "glossary.md").write_text(broken, encoding="utf-8")
    (tmp_path / "docs" / "orphan.md").write_text("# Nobody links here\n", encoding="utf-8")
    (tmp_path / "docs" / "access.md").unlink()
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert [
        name for name in ("nowhere.md", "#nowhere", "../policy.toml", "orphan.md", "access.md") if name not in said
    ] == []


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_reference_page_says_what_the_code_says(name: str) -> None:
    made, kept = reference.PAGES[name](), (reference.FOLDER / name).read_text(encoding="utf-8")
    if COMPLETE:
        assert kept == made, "Run: make docs"
    assert [line for line in made.splitlines() if line not in kept.splitlines()] == [], "Run: make docs"
