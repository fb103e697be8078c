"""`make test-quick LAYER=retrieval`: what a change in one layer breaks first, in about a minute.

Its unit tests, the contract suites of its ports on the adapters that stack.toml names, and the guards of the architecture. What
starts a server, deletes parts of the tree or needs a minute by itself is left to `make test`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from extensions.development.ports import CONTRACTS, Port
from foundation.errors import InvalidRequest, did_you_mean
from foundation.types import LAYERS
from serving.settings import load

SLOW = ["test_deletion.py", "test_network.py"]
"""Guards that copy the tree, or start a process without a network."""


def arguments(layer: str) -> tuple[list[str], dict[str, str]]:
    """What pytest is called with, and in which environment.

    Raises:
        InvalidRequest: there is no such layer.
    """
    if layer not in LAYERS:
        raise InvalidRequest(f'There is no layer "{layer}". {did_you_mean(layer, LAYERS)}')
    settings = load(Path("stack.toml")).settings
    ports = [Port(name) for name in CONTRACTS if name.startswith(f"{layer}.")]
    parts = {port.name: [{"use": part.use} for part in port.configured_parts(settings)] for port in ports}
    chosen = {name: configured for name, configured in parts.items() if configured}
    tests = [f"tests/unit/{layer}", *(str(port.suite) for port in ports), "tests/architecture"]
    left_out = [f"--ignore=tests/architecture/{name}" for name in SLOW]
    return [*tests, *left_out, "-m", "not slow"], {"CONTRACT_PARTS": json.dumps(chosen)} if chosen else {}


def main() -> int:
    """Run them."""
    try:
        words, environment = arguments(sys.argv[1] if len(sys.argv) > 1 else "")
    except InvalidRequest as error:
        sys.stderr.write(f"{error} Say which: make test-quick LAYER=retrieval\n")
        return 2
    os.environ |= environment
    return int(pytest.main([*words, "--numprocesses=auto", "--dist=loadfile", *sys.argv[2:]]))


if __name__ == "__main__":
    sys.exit(main())
