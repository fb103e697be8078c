"""What state the documents are in, which of them say the same, and the whole ledger as one file, written and taken in."""

from foundation.extensions import Command, Extension

GROUP = "Documents"

extension = Extension(
    about="What state the documents are in, which of them say the same, and the whole ledger as one file, written and taken in.",
    extra="library",
    commands=(
        Command(
            name="corpus",
            group=GROUP,
            about="Show the size, sources, age and duplicates of the documents.",
            call="extensions.library.commands:corpus",
        ),
        Command(
            name="export",
            group=GROUP,
            about="Export all documents",
            call="extensions.library.commands:export_ledger",
        ),
        Command(
            name="import",
            group=GROUP,
            about="Import an exported file, after checking it.",
            call="extensions.library.commands:import_ledger",
        ),
    ),
)
