"""Answers as objects that fit a JSON schema, from a text that is sent or from the documents."""

from foundation.extensions import Extension

extension = Extension(
    about="Answers as objects that fit a JSON schema, from a text that is sent or from the documents.",
    requires=("structured",),
    extra="statistics",
    parts=(("orchestration.prompts/objects", "extensions.objects.prompts"),),
    plug="extensions.objects.plug:plug",
)
