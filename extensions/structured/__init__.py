"""Objects of a chat model that fit a schema, repaired once and never guessed, for the extensions that ask for them."""

from foundation.extensions import Extension

extension = Extension(
    about="Objects of a chat model that fit a schema, repaired once and never guessed, for the extensions that ask for them."
)
