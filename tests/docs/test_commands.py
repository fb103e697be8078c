"""Every command of every page runs in a test, or the page says above its block that it does not, and why:
`<!-- not run: why -->`. What no other test runs is run here, page by page, in the order of the page.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foundation.extensions import read_names
from observability.stores import history
from observability.stores.costs import CostLedger
from serving.cli.main import app
from tests.contracts.parser_samples import pdf
from tests.make_rules import to_arguments

ROOT = Path(__file__).parents[2]
PLAYED = {
    "docs/learn.md": "tests/examples/test_learn.py",
    "docs/your-own.md": "tests/examples/test_your_own.py",
    "docs/extensions/index.md": "tests/extensions/development/test_new_extension.py",
    "docs/observability/slow-layer.md": "tests/examples/test_stories.py",
    "docs/observability/cost-surprise.md": "tests/examples/test_stories.py",
    "docs/observability/governance-question.md": "tests/examples/test_stories.py",
}
"""Pages whose commands a test of their own plays."""
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "AGENTS.md")),
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if "decisions" not in path.parts),
    *sorted((ROOT / "examples").rglob("*.md")),
]
RUN_BY = {
    "make demo": "tests/examples/test_demo.py",
    "make serve": "tests/unit/serving/test_machine_key.py",
    "make test": "tests/unit/serving/test_make.py",
    "make check": "tests/lab/test_new_project.py",
    "make contracts": "tests/extensions/development/test_contracts_as_shipped.py",
    "make doctor": "tests/unit/foundation/test_doctor.py",
    "make new": "tests/lab/test_new_project.py",
    "make update": "tests/lab/test_new_project.py",
    "make gate": "tests/examples/test_gate.py",
    "make swap-report": "tests/extensions/swap_report/test_swap_report.py",
    "make torture": "tests/lab/test_torture.py",
    "make leaks": "tests/lab/test_leaks.py",
    "make attack": "tests/lab/test_attacks.py",
    "make fuzz": "tests/lab/test_fuzz.py",
    "make redteam": "tests/lab/test_redteam.py",
    "make judge-agreement": "tests/extensions/judge/test_judge_evaluation.py",
    "make judge-evaluation": "tests/extensions/judge/test_judge_evaluation.py",
    "make setup": "tests/lab/test_new_project.py",
    "make test-quick": "tests/unit/serving/test_make.py",
    "make docs": "tests/docs/test_site.py",
    "make ingest SRC=examples/support_desk/corpus": "tests/docs/test_agents.py",
    "make ingest SRC=https://example.com/handbook.html": "tests/extensions/web_documents/test_fetching.py",
    "make bench-meaning": "tests/lab/test_meaning_bench.py",
    "make evaluate": "tests/examples/test_your_own.py",
    "make strengthen": "tests/extensions/strengthen/test_weakest_layer.py",
    "make calibrate": "tests/extensions/calibration/test_command.py",
    ".venv/bin/python -m examples.german_letter": "tests/examples/test_german_letter.py",
    "make why": "tests/extensions/proposals/test_why.py",
    "make cases-from-feedback": "tests/extensions/proposals/test_week.py",
    "make scale-model": "tests/lab/test_scale.py",
    "mkdir -p backup": "tests/lab/test_kills.py",
    "make drift": "tests/extensions/drift/test_drift.py",
}
"""Commands that take minutes or a world of their own, and the tests that run them."""
MARK = "<!-- not run: "
STACK = f"""
extensions = {json.dumps(read_names(ROOT / "stack.toml"))}
[foundation]
data_dir = "var"
[models.chat]
use = "scripted"
[models.embedder]
use = "hashing"
[retrieval.vectors]
use = "memory"
[orchestration]
policy_file = "policy.toml"
[[orchestration.tools]]
use = "examples.support_desk.tools:build"
[[orchestration.tools]]
use = "memory"
[serving.http]
port = 0
"""
COMMAND = re.compile(
    r"(?:\w+=\S+ )*(?:(?:\.venv/bin/)?(?:sixply|python[\d.]*|pytest|uv|pip)|make|docker|curl|sqlite3|mkdir|export|cd|cp|chmod|git|helm|"
    r"kubectl|npx|ollama|openssl|pg_dump|pg_restore|psql|redis-cli|rm|systemctl|tar)(?= |$)"
)


def commands_of(page: Path) -> Iterator[str]:
    """Yield the commands in the indented and fenced blocks of a page that are not marked."""
    marked, fenced = False, False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif line.startswith(MARK):
            marked = True
        elif line.strip() and not fenced and not line.startswith("    "):
            marked = False
        text = line.removeprefix("$ ") if fenced else line[4:] if line.startswith("    ") else ""
        if not marked and COMMAND.match(text):
            yield re.split(r"\s{2,}|\s+#", text)[0]


def is_run_elsewhere(line: str) -> bool:
    return any(line == known or line.startswith(f"{known} ") for known in RUN_BY)


OPEN = {page: lines for page in PAGES if str(page.relative_to(ROOT)) not in PLAYED
        if (lines := [line for line in commands_of(page) if not is_run_elsewhere(line)])}  # fmt: skip


def test_the_tests_that_run_the_commands_exist() -> None:
    assert [file for file in {*RUN_BY.values(), *PLAYED.values()} if not (ROOT / file).is_file()] == []


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("policy.toml", "risks.toml", "outcomes.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for stack in ("stack.toml", "other.toml"):
        (tmp_path / stack).write_text(STACK.replace('"var"', f'"{Path(stack).stem}-var"'), encoding="utf-8")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "returns.md").write_text("# Returns\n\nA product can be returned within 30 days.\n")
    (tmp_path / "policy.pdf").write_bytes(pdf())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "240")
    return tmp_path


def answered(home: Path) -> str:
    """Ask something, and return the answer's id, for a page that records what became of one."""
    CliRunner().invoke(app, ["ask", "Within how many days can I return a product?"])
    with closing(CostLedger(home / "stack-var" / "costs.sqlite")) as costs:
        return next(iter(history.answers(costs)), "none")


@pytest.mark.parametrize("page", OPEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_command_of_a_page_runs_as_it_is_written(page: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = answered(home) if any("ANSWER" in line for line in OPEN[page]) else ""
    for line in OPEN[page]:
        words = shlex.split(line.replace("[", "").replace("]", "").replace("ANSWER", answer))
        with monkeypatch.context() as set_here:
            while "=" in words[0]:
                set_here.setenv(*words.pop(0).split("=", 1))
            made = words[0] == "make"
            done = CliRunner().invoke(
                app, to_arguments(shlex.join(words)) if made else words[1:], catch_exceptions=False
            )
        assert done.exit_code == 0, (line, done.output)
