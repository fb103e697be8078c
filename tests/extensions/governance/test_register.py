"""What the page on governance and the risk register name is there: fields, settings, commands, controls and their tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from extensions.governance import risk_register
from foundation.errors import InvalidSetting
from orchestration.effects.records import Record
from orchestration.events import Answer
from serving.settings import Settings
from tests.make_rules import LAB, RULES

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "governance.md").read_text(encoding="utf-8")
ARTICLES = PAGE.partition("## The EU AI Act")[2]


def test_every_field_that_the_articles_are_mapped_to_is_in_a_record() -> None:
    named = set(re.findall(r"`audit\.(\w+)`", ARTICLES))
    assert len(named) >= 15
    assert named - {"sqlite"} <= {"at", *Record.model_fields}
    assert {"ai_generated", "degraded"} <= Answer.model_fields.keys()


@pytest.mark.parametrize(
    "article", ["12(1)", "12(2)(a)", "12(2)(b)", "12(2)(c)", "14(1)", "14(4)(e)", "26(5)", "26(6)"]
)
def test_the_article_is_mapped(article: str) -> None:
    assert re.search(rf"^\|[^|]*{re.escape(article)}", ARTICLES, re.MULTILINE)


def test_every_command_and_setting_that_the_page_names_exists() -> None:
    commands = set(re.findall(r"make ([a-z][a-z-]*)", PAGE))
    assert commands - RULES.keys() == set() or not LAB.exists()
    settings = re.findall(r"`\[([a-z.]+)\] (\w+)", PAGE)
    assert settings
    assert [
        f"{section}.{key}" for section, key in settings if not risk_register.is_setting(f"{section}.{key}", Settings)
    ] == []


def test_every_control_of_the_register_is_there_and_has_its_test() -> None:
    register = risk_register.load_register(ROOT / "risks.toml")
    assert len(register.risks) >= 10
    assert risk_register.find_gone(register, ROOT, Settings) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("retrieval/documents.py:is_readable", "retrieval/documents.py:is_legible"),
        ("extensions/kill_switches/stops.py:Stops.demand", "extensions/kill_switches/stops.py:Stops.ask"),
        ("serving/cli/govern/erasure.py", "serving/eraser.py"),
        ("orchestration.policy.effects_without_approval", "orchestration.policy.asked"),
        ("::test_every_dropped_record_is_found", "::test_nothing"),
        *(
            [("0.008 [-0.044, 0.058]", "0.8 [0.7, 0.9]"), ("make bench-pii", "make bench-nothing")]
            if LAB.exists()
            else []
        ),
    ],
)
def test_a_control_that_is_gone_is_noticed(before: str, after: str, tmp_path: Path) -> None:
    text = (ROOT / "risks.toml").read_text(encoding="utf-8")
    assert before in text
    (tmp_path / "risks.toml").write_text(text.replace(f'"{before}', f'"{after}').replace(before, after))
    found = risk_register.find_gone(risk_register.load_register(tmp_path / "risks.toml"), ROOT, Settings)
    assert len(found) == text.count(before)
    assert after.removeprefix("::") in str(found[0])


def test_an_entry_that_does_not_fit_is_named(tmp_path: Path) -> None:
    (tmp_path / "risks.toml").write_text('[[risks]]\nid = "a"\nrisk = "b"\ncause = "c"\nresidual = "d"\n')
    with pytest.raises(InvalidSetting, match=r"risks\.0\.controls"):
        risk_register.load_register(tmp_path / "risks.toml")
