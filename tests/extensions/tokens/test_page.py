"""The page docs/extensions/tokens.md is executed: its settings are read, its test token is made and lets its bearer in."""

import re
from pathlib import Path

import httpx2
import pytest

from extensions.tokens.settings import TokenSettings
from serving.server import running
from serving.settings import load
from tests.doubles.serving import world

PAGE = (Path(__file__).parents[3] / "docs" / "extensions" / "tokens.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_settings_that_the_page_shows_are_settings(tmp_path: Path) -> None:
    stack = tmp_path / "stack.toml"
    for block in blocks("toml"):
        stack.write_text(block, encoding="utf-8")
        assert load(stack).settings.section(TokenSettings).issuer


def test_the_token_that_the_page_makes_is_let_in_as_its_tenant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "var").mkdir()
    (example,) = blocks("python")
    exec(compile(example, "docs/extensions/tokens.md", "exec"), {})
    token = capsys.readouterr().out.strip()
    stated = dict(re.findall(r"SIXPLY__TOKENS__(\w+)=(\S+)", PAGE))
    given = world(
        tmp_path / "var",
        extensions=("tokens",),
        sections={"tokens": TokenSettings(**{name.lower(): value for name, value in stated.items()})},
    )
    with running(given.system) as url:
        asked = {"question": "When does it ship?"}
        with httpx2.Client(base_url=url, timeout=60) as caller:
            mine, forged = ({"Authorization": f"Bearer {one}"} for one in (token, f"{token[:-8]}AAAAAAAA"))
            answered = caller.post("/v1/answers", json=asked, headers=mine)
            refused = caller.post("/v1/answers", json=asked, headers=forged)
            forbidden = caller.get("/metrics", headers=mine)
    assert answered.status_code == 200
    ((_, caller),) = given.system.agent.asked
    assert (caller.subject, caller.tenant) == ("ada", "north")
    assert (refused.status_code, refused.json()["detail"]) == (401, "The token's signature is wrong.")
    assert forbidden.status_code == 403
