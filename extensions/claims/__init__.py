"""What each statement of an answer means is compared with what it cites, by rules of language and a judge; it guesses, so it marks true ones, too."""

from foundation.extensions import Extension

extension = Extension(
    about="What each statement of an answer means is compared with what it cites, by rules of language and a judge; it guesses, so it marks true ones, too.",
    settings="extensions.claims.settings:ClaimsSettings",
    plug="extensions.claims.plug:plug",
)
