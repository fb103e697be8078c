"""What every test shares: no network outside loopback, no hub, nothing from the developer's own environment."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests import services

for name in [name for name in os.environ if name.startswith("SIXPLY_")]:
    del os.environ[name]
os.environ |= {
    "ANONYMIZED_TELEMETRY": "False",
    "HF_HUB_OFFLINE": "1",
    "LANGSMITH_TRACING": "false",
    "NO_PROXY": "127.0.0.1,::1,localhost",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_OFFLINE": "1",
}

# A slow machine is no failure; and a failure is printed so that it can be repeated elsewhere.
settings.register_profile("sixply", deadline=None, print_blob=True)
settings.load_profile("sixply")

LOOPBACK = {"127.0.0.1", "::1", "localhost", "0.0.0.0", "::", None, ""}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """An empty data folder, removed after the test."""
    folder = tmp_path / "var"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True, scope="session")
def _servers_end() -> Iterator[None]:
    yield
    services.stop()


@pytest.fixture(autouse=True, scope="session")
def _no_name_lookups() -> Iterator[None]:
    """Connections are blocked by pytest-socket. Name lookups are not, and would ask a server outside."""
    real = socket.getaddrinfo

    def guarded(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in LOOPBACK:
            raise socket.gaierror(socket.EAI_NONAME, f'the lookup of "{name}" is blocked in tests')
        return real(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", guarded)
        yield
