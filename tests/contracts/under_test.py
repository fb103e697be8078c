"""Which adapters a contract suite runs on: the files of the port's folder, or the parts that `sixply contracts` names.

Every suite is written with these two, so that an adapter from outside the tree goes through it like one of ours:

    @pytest.mark.parametrize("name", adapters("retrieval.vectors"))
    def test_it_keeps(name, data_dir):
        load("retrieval.vectors", part("retrieval.vectors", name), Context(data_dir=data_dir))

`sixply contracts` says in the environment variable `CONTRACT_PARTS` what to run on: an object of port -> parts as they
would stand in stack.toml.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from foundation.components import available
from foundation.settings import Part

NAMED: dict[str, list[dict[str, Any]]] = json.loads(os.environ.get("CONTRACT_PARTS") or "{}")


WRAPPED = ("plain", "traced")
"""A part is tested as its adapter built it, and as it is while the system runs: see `watched` in conftest."""
Watch = Callable[[str, Any], Any]
"""Port and part -> the part to be tested."""


def adapters(port: str, *others: str) -> list[str]:
    """What to write behind `use =`, one after the other; `others` are parts of the ecosystem, by dotted name."""
    return [each["use"] for each in NAMED[port]] if port in NAMED else [*available(port), *others]


def named(port: str, use: str) -> bool:
    """Whether `sixply contracts` named this part, which then comes with options of its own."""
    return any(each["use"] == use and len(each) > 1 for each in NAMED.get(port, ()))


def part(port: str, use: str, /, **options: Any) -> Part:
    """The part with what it needs to be built here; options that the caller named count more."""
    named = next((each for each in NAMED.get(port, ()) if each["use"] == use), {})
    return Part.model_validate({**options, **named, "use": use})
