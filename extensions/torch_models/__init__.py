"""Models of sentence-transformers from a folder, with torch: an embedder, a reranker, and a judge of entailment."""

from foundation.extensions import Extension

extension = Extension(
    about="Models of sentence-transformers from a folder, with torch: an embedder, a reranker, and a judge of entailment.",
    parts=(
        ("models.embedder/sentence_transformers", "extensions.torch_models.embedder"),
        ("models.reranker/cross_encoder", "extensions.torch_models.reranker"),
        ("models.entailment/cross_encoder", "extensions.torch_models.entailment"),
    ),
)
