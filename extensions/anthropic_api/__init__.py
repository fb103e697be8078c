"""Anthropic's Messages API, so that its clients can talk to this system."""

from foundation.extensions import Extension

extension = Extension(
    about="Anthropic's Messages API, so that its clients can talk to this system.",
    requires=("openai_api",),
    plug="extensions.anthropic_api.plug:plug",
)
