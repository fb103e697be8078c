"""An embedder that reads about a hundred languages, so that a question finds documents in other languages than its own."""

from foundation.extensions import Extension

extension = Extension(
    about="An embedder that reads about a hundred languages, so that a question finds documents in other languages than its own.",
    extra="languages",
    parts=(("models.embedder/e5", "extensions.languages.e5"),),
)
