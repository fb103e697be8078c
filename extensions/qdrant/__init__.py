"""A vector index in Qdrant: on a server, or in the client's local mode inside this process."""

from foundation.extensions import Extension

extension = Extension(
    about="A vector index in Qdrant: on a server, or in the client's local mode inside this process.",
    extra="qdrant",
    parts=(("retrieval.vectors/qdrant", "extensions.qdrant.vectors"),),
)
