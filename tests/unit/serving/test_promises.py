"""`sixply contracts`: which tests run for which part."""

import sys

import pytest

from foundation.errors import InvalidRequest
from foundation.settings import ModelsSettings, Part, Settings
from serving import promises


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What pytest would have been called with."""
    calls: list[list[str]] = []

    class Pytest:
        @staticmethod
        def main(arguments: list[str], plugins: list[object]) -> int:
            calls.append(arguments)
            return 0

    monkeypatch.setitem(sys.modules, "pytest", Pytest)
    return calls


def test_the_configured_part_of_a_port_is_tested(called: list[list[str]]) -> None:
    settings = Settings(models=ModelsSettings(embedder=Part(use="hashing")))
    assert promises.run(settings, "models.embedder", None)
    assert called[0][:3] == ["tests/contracts/test_embedder.py", "-k", "hashing"]


def test_another_part_can_be_named(called: list[list[str]]) -> None:
    promises.run(Settings(), "models.embedder", "acme")
    assert called[0][1:3] == ["-k", "acme"]


def test_without_a_port_every_port_with_tests_is_tested(called: list[list[str]]) -> None:
    promises.run(Settings(), None, None)
    assert {"tests/contracts/test_embedder.py", "tests/contracts/test_chat.py"} <= set(called[0])


def test_an_unknown_port_names_the_nearest() -> None:
    with pytest.raises(InvalidRequest, match=r'Did you mean "models\.embedder"'):
        promises.run(Settings(), "models.embeder", None)
