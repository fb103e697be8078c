"""The bundled chat model and encoder, opened once for the tests of a module: each system that these open gets the same two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.there import load_if_there

KEY = "of the one server that all of them ask"


@pytest.fixture(scope="module", autouse=True)
def models_opened_once() -> Iterator[None]:
    """To start llama.cpp's server and to compile the encoder's graph is most of what it takes to open a system."""
    opened: dict[tuple[str, ...], Any] = {}

    def once(opens: Callable[..., Any]) -> Callable[..., Any]:
        def open_once(*given: Any, **named: Any) -> Any:
            order = (opens.__name__, repr(given), repr(named))
            if order not in opened:
                opened[order] = opens(*given, **named)
            return opened[order]

        return open_once

    with pytest.MonkeyPatch.context() as patch:
        if server := load_if_there("models.chat.llama_cpp"):
            patch.setattr(server, "secrets", SimpleNamespace(token_urlsafe=lambda _: KEY))
            patch.setattr(server, "_start", once(server._start))
        if encoder := load_if_there("models.embedders.openvino"):
            patch.setattr(encoder, "_compile", once(encoder._compile))
        yield
    opened.clear()
