"""A vector index in embedded Chroma: a collection, with a graph of its own, for each tenant and set of groups."""

from foundation.extensions import Extension

extension = Extension(
    about="A vector index in embedded Chroma: a collection, with a graph of its own, for each tenant and set of groups.",
    extra="chroma",
    parts=(("retrieval.vectors/chroma", "extensions.chroma.vectors"),),
)
