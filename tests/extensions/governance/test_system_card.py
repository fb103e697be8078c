"""The system card says what is in force, and nothing that was written for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from extensions.governance import risk_register, system_card
from serving.settings import Settings

ROOT = Path(__file__).parents[3]
STACK = """
[foundation]
data_dir = "{data}"
[observability]
golden_set = "{golden}"
[foundation.retention]
conversations_days = 12
[models.chat]
use = "openai_compatible"
model = "<b>big</b>"
api_key = "sk-very-secret"
[orchestration.budget]
usd = 0.5
[[orchestration.tools]]
use = "tests.doubles.desk:build"
[orchestration.policy]
effects_without_approval = ["refund"]
[orchestration.policy.roles]
clerk = ["refund", "find_order"]
boss = ["find_order"]
[orchestration.policy.approver]
use = "tiers"
tiers = [{{ tool = "refund", up_to = 250, roles = ["clerk", "boss"] }}, {{ tool = "refund", roles = ["boss"] }}]
"""
EVALUATION = {
    "overall": {"passed": {"mean": 0.75, "low": 0.5, "high": 1.0, "n": 8}},
    "by_kind": {"tool": {"passed": {"mean": 0.5, "low": 0.1, "high": 0.9, "n": 4}}},
}

GONE = risk_register.find_gone(risk_register.load_register(ROOT / "risks.toml"), ROOT, Settings)
"""What the register names and an optional part took along; in the whole tree, nothing."""


@pytest.fixture
def drawn(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def draw(
        register: str = str(ROOT / "risks.toml"),
        golden: Path = tmp_path / "desk",
        stack: Path = tmp_path / "stack.toml",
    ) -> dict[str, Any]:
        (tmp_path / "stack.toml").write_text(STACK.format(data=tmp_path / "var", golden=golden))
        (tmp_path / "desk").mkdir(exist_ok=True)
        (tmp_path / "desk" / "baseline.json").write_text('{"rows": [{"passed": 1.0}, {"passed": 0.0}]}')
        out, page, ok = tmp_path / "card.json", tmp_path / "card.html", True
        try:
            system_card.system_card(register=Path(register), html=page, json=out, stack=stack)
        except typer.Exit as end:
            ok = end.exit_code == 0
        return {"ok": ok, "page": page.read_text(), "text": out.read_text(), **json.loads(out.read_text())}

    return draw


def test_it_says_what_is_configured(drawn: Callable[..., dict[str, Any]]) -> None:
    found = drawn()
    assert found["ok"] is (GONE == [])
    assert (found["page"].count("<main>"), found["page"].count("</main>")) == (1, 1)
    assert found["models"][0] == {"port": "chat", "part": "openai_compatible", "model": "<b>big</b>"}
    assert found["retention"] == {"spans_days": 30, "conversations_days": 12, "approvals_days": "for good"}
    assert (found["limits"]["budget.usd"], found["data"]["documents"]) == (0.5, 0)
    tools = {one["name"]: (one["effect"], one["roles"], one["approval"]) for one in found["tools"]}
    assert tools == {
        "refund": (True, ["clerk"], "unless in the person's own words"),
        "find_order": (False, ["clerk", "boss"], "never"),
    }
    tier = {key: found["rules"][f"approver.tiers.1.{key}"] for key in ("tool", "up_to", "roles")}
    assert tier == {"tool": "refund", "up_to": 250, "roles": ["clerk", "boss"]}
    cells = [*found["rules"].values(), *found["limits"].values()]
    assert not [cell for cell in cells if "{" in str(cell)], "a cell holds what Python prints"
    assert "&lt;b&gt;big&lt;/b&gt;" in found["page"]
    assert {one["part"]: one["model"] for one in found["models"]}["openvino"] == "the bundled one"
    assert all(one["model"] for one in found["models"])
    assert not re.findall(r"(?s).{90}<td>\s*</td>|[\[{]&#39;|<td>(?:True|False)<", found["page"])
    assert "overflow-wrap: anywhere" not in found["page"]
    assert "sk-very-secret" not in found["page"] + found["text"]


def test_the_last_evaluation_stands_beside_the_baseline(
    drawn: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert drawn()["evaluated"] == "Not evaluated here yet: make evaluate."
    (tmp_path / "var" / "reports").mkdir()
    (tmp_path / "var" / "reports" / "evaluation.json").write_text(json.dumps(EVALUATION))
    found = drawn()
    passed = next(one for one in found["evaluation"] if one["measure"] == "passed")
    assert (passed["last"]["mean"], passed["baseline"]["n"]) == (0.75, 2)
    assert found["evaluated"].startswith("Last evaluated ")
    (tmp_path / "ferry").mkdir()
    (tmp_path / "ferry" / "baseline.json").write_text('{"rows": [{"passed": 1.0}]}')
    monkeypatch.chdir(tmp_path)  # the set of a stack lies beside it, not in the tree of the code
    beside = drawn(golden=Path("ferry"), stack=Path("stack.toml"))["evaluation"]
    assert next(one for one in beside if one["measure"] == "passed")["baseline"]["n"] == 1
    assert any("Of 4 golden questions of the kind tool 50% did" in one for one in found["known_limits"])
    assert any("make bench-pii" in one for one in found["known_limits"])


def test_what_is_gone_is_told(
    drawn: Callable[..., dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn()
    register = tmp_path / "risks.toml"
    register.write_text((ROOT / "risks.toml").read_text().replace("check_answer", "beg_answer"))
    found = drawn(str(register))
    assert not found["ok"]
    told = "invented: there is no retrieval/grounding/checks.py:beg_answer"
    assert sorted(found["gone"]) == sorted([*GONE, told])
    assert "beg_answer" in found["page"]
    assert "take the control out" in " ".join(capsys.readouterr().out.split())
