"""Words of the house: what people say and what the documents say for the same, by tenant, and years as they are written."""

from foundation.extensions import Command, Extension

extension = Extension(
    about="Words of the house: what people say and what the documents say for the same, by tenant, and years as they are written.",
    settings="extensions.synonyms.settings:SynonymsSettings",
    commands=(
        Command(
            name="synonyms",
            group="Is it good enough, and worth it?",
            about="Propose synonyms from failed questions, and accept them.",
            call="extensions.synonyms.command:synonyms",
        ),
    ),
    plug="extensions.synonyms.plug:plug",
)
