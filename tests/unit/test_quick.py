"""`make test-quick` names tests that exist, for every layer, and the parts that stack.toml names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foundation.components import PORTS
from foundation.errors import InvalidRequest
from foundation.types import LAYERS
from tests import quick


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_has_tests_that_exist(layer: str) -> None:
    words, _ = quick.arguments(layer)
    paths = [word.removeprefix("--ignore=") for word in words if "tests/" in word]
    assert f"tests/unit/{layer}" in paths
    assert [path for path in paths if not Path(path).exists()] == []


def test_together_the_layers_run_the_suite_of_every_port() -> None:
    named = [port for layer in LAYERS for port in json.loads(quick.arguments(layer)[1].get("CONTRACT_PARTS", "{}"))]
    without_suite, without_setting = "foundation.records", "retrieval.recogniser"
    assert sorted([*named, without_suite, without_setting]) == sorted(PORTS)


def test_a_layer_that_does_not_exist_is_said() -> None:
    with pytest.raises(InvalidRequest, match="retrieval"):
        quick.arguments("retreival")
