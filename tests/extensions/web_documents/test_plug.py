"""With it an address is a document; what reads addresses is nothing but the command of whoever runs this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serving.cli.main import main
from tests.doubles import command_line
from tests.extensions.web_documents.test_fetching import Site, site

__all__ = ["site"]


@pytest.fixture
def sixply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    return command_line.runner(main, tmp_path, monkeypatch, capsys, extensions=["web_documents"])


def test_an_address_is_ingested_and_its_text_is_answered_from(
    sixply: Callable[..., Any], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"http://127.0.0.1:{site.port}/guide.html"
    for name, value in {"networks": '["127.0.0.0/8"]', "schemes": '["http"]', "ports": f"[{site.port}]"}.items():
        monkeypatch.setenv(f"SIXPLY__WEB_DOCUMENTS__{name.upper()}", value)
    assert sixply("ingest", address, "--group", "board")["added"] == 1
    assert [one["uri"] for one in sixply("documents", "--group", "board")["documents"]] == [address]
    assert sixply("ingest", address, "--group", "board")["unchanged"] == 1
    assert "nine hours" in sixply("ask", "How long does the moon lamp run?", "--group", "board")["text"]


def test_an_address_of_this_machine_is_refused_by_default(sixply: Callable[..., Any]) -> None:
    told = sixply("ingest", "https://127.0.0.1/guide.html", status=2)
    assert "is not a public address. [web_documents] networks says what may be." in told
    assert 'reads documents from "ftp://127.0.0.1/a.md"' in sixply("ingest", "ftp://127.0.0.1/a.md", status=2)
