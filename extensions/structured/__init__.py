"""Objects of a chat model that fit a schema: repaired once, never guessed. Other extensions ask by it."""

from foundation.extensions import Extension

extension = Extension(
    about="Objects of a chat model that fit a schema: repaired once, never guessed. Other extensions ask by it."
)
