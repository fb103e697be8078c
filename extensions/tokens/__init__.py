"""Signed tokens of an identity provider, beside API keys."""

from foundation.extensions import Extension

extension = Extension(
    about="Signed tokens of an identity provider, beside API keys.",
    settings="extensions.tokens.settings:TokenSettings",
    plug="extensions.tokens.plug:plug",
)
