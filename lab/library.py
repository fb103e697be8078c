"""Open layer 3 of a configuration by itself, for trials that need no agent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from foundation.components import Context
from foundation.settings import make_data_dir
from retrieval import build
from retrieval.build import Retrieval
from serving.settings import Loaded


@contextmanager
def open_library(loaded: Loaded, *, watch: Callable[[Any], Any] = lambda embedder: embedder) -> Iterator[Retrieval]:
    """Layer 3 of this configuration by itself; `watch` wraps the embedder. Raises as `retrieval.build.open_library`."""
    settings = loaded.settings
    context = Context(
        data_dir=make_data_dir(settings.foundation.data_dir),
        seed=settings.foundation.seed,
        threads=settings.foundation.threads,
    )
    with build.open_library(
        settings.models, settings.retrieval, context, cluster=settings.foundation.cluster, watch=watch
    ) as library:
        yield library
