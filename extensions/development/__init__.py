"""Commands for whoever changes the system: list and test parts, begin a part or an extension, take in the template's changes."""

from foundation.extensions import Command, Extension

GROUP = "Change it"

extension = Extension(
    about="Commands for whoever changes the system: list and test parts, begin a part or an extension, take in the template's changes.",
    commands=(
        Command(
            name="update",
            group=GROUP,
            about="Merge the newest template into this project.",
            call="extensions.development.update:update",
        ),
        Command(
            name="parts",
            group=GROUP,
            about="List ports and adapters.",
            call="extensions.development.list_parts:parts",
        ),
        Command(
            name="adapter",
            group=GROUP,
            about="Write the file of a new adapter.",
            call="extensions.development.new_adapter:adapter",
        ),
        Command(
            name="contracts",
            group=GROUP,
            about="Run a port's contract tests on a part.",
            call="extensions.development.contract_tests:contracts",
        ),
        Command(
            name="extension",
            group=GROUP,
            about="Write a new extension with its test and page.",
            call="extensions.development.new_extension:extension",
        ),
    ),
    parts=(
        ("models.chat/scripted", "extensions.development.scripted_chat"),
        ("models.embedder/hashing", "extensions.development.hashing_embedder"),
    ),
    parts_while_off=True,
    bring="extensions.development.update:bring_extension",
)
