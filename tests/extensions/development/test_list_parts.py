"""`sixply parts`: ports and adapters, from the code."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from typer.testing import CliRunner

from extensions.development import list_parts
from serving.cli import main


def listed() -> Mapping[tuple[str, str], dict[str, Any]]:
    ran = CliRunner().invoke(main.app, ["parts", "--json", "-"])
    assert ran.exit_code == 0, ran.output
    return {(one["port"], one["name"]): one for one in json.loads(ran.stdout)["adapters"]}


def test_an_adapter_is_told_with_the_extra_behind_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_parts, "extra_of", {"langchain_openai": "vendors"}.get)
    list_parts._extras.cache_clear()
    try:
        assert listed()["models.chat", "openai_compatible"]["extras"] == ["vendors"]
    finally:
        list_parts._extras.cache_clear()


def test_an_adapter_is_told_with_what_it_can_be_told() -> None:
    found = listed()
    assert "base_url" in found["models.chat", "openai_compatible"]["options"]
    assert found["models.chat", "openai_compatible"]["options"]["model"] is None, "it must be given"
    assert [name for (port, name), one in found.items() if port == "serving.cache" and one["default"]] == ["memory"]


def test_on_the_terminal_the_default_is_marked() -> None:
    assert "memory *" in CliRunner().invoke(main.app, ["parts"]).stdout
