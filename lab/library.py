"""Open layer 3 of a configuration by itself, for trials that need no agent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from retrieval import build
from retrieval.build import Retrieval
from serving.settings import Loaded, context_of


@contextmanager
def open_library(loaded: Loaded, *, watch: Callable[[Any], Any] = lambda embedder: embedder) -> Iterator[Retrieval]:
    """Layer 3 of this configuration by itself; `watch` wraps the embedder. Raises as `retrieval.build.open_library`."""
    settings = loaded.settings
    with build.open_library(
        settings.models, settings.retrieval, context_of(settings), cluster=settings.foundation.cluster, watch=watch
    ) as library:
        yield library
