"""The overlay for several replicas, which share PostgreSQL."""

from __future__ import annotations

import pytest

from foundation import components
from serving.settings import Settings, configured_parts, load
from tests.integration.test_deploy import ROOT, variables


def test_the_shared_settings_are_known_and_name_parts_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables().items():
        if "__CACHE__" not in name:  # the cache is of another extension
            monkeypatch.setenv(name, value)
    settings: Settings = load(ROOT / "stack.toml").settings
    chosen = dict(configured_parts(settings))
    assert (chosen["retrieval.ledger"].use, chosen["retrieval.vectors"].use) == ("postgres", "pgvector")
    assert [part.use for section, part in chosen.items() if section.startswith("observability.exporters")] == [
        "sqlite",
        "otlp",
    ]
    for section, part in chosen.items():
        components.checked_options(section.partition("[")[0], part)
