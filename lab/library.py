"""Open layer 3 of a configuration by itself, for trials that need no agent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from langchain_core.embeddings import Embeddings

from extensions.ray.plug import OnRay
from foundation.components import Assembly
from foundation.extensions import find_modules, installed
from models.build import open_judge, open_reranker
from retrieval.build import Retrieval, open_retrieval
from retrieval.documents import Parsed, ParseLimits
from retrieval.ingest.parsing import parse_here
from serving.settings import Loaded, context_of

PARSERS = find_modules("retrieval.parsers", installed())
"""Of every extension that is here."""


@contextmanager
def open_library(loaded: Loaded, *, watch: Callable[[Any], Any] = lambda embedder: embedder) -> Iterator[Retrieval]:
    """Layer 3 of this configuration by itself: no chat model, no agent, no tracing. Documents are parsed in this process, so they must be
    trusted. `watch` wraps the embedder. Raises ConfigurationError: as `open_retrieval`.
    """
    settings, context = loaded.settings, context_of(loaded.settings)
    on_ray = OnRay(settings) if "ray" in settings.extensions else None
    with ExitStack() as opened:
        assembly = Assembly(context, opened)
        embedder = watch(assembly.part("models.embedder", settings.models.embedder, Embeddings))
        yield open_retrieval(
            settings.retrieval,
            assembly,
            embedder=embedder,
            query_embedder=embedder,
            encoder_part=settings.models.embedder.use,
            reranker=open_reranker(settings.models, assembly, embedder),
            judge=open_judge(settings.models, assembly, embedder),
            parse=own_parse,
            workers=lambda fingerprint: on_ray.open(fingerprint, lambda _: None) if on_ray else None,
        )


def own_parse(content: bytes, name: str) -> Parsed:
    """Parse in this process, without protection: for trusted documents."""
    return parse_here(content, name, ParseLimits(parsers=PARSERS))
