"""Show which layer to improve next: where failures begin, and how much each part contributes."""

from foundation.extensions import Command, Extension

extension = Extension(
    about="Show which layer to improve next: where failures begin, and how much each part contributes.",
    requires=("reports", "swap_report"),
    commands=(
        Command(
            name="strengthen",
            group="Is it good enough, and worth it?",
            about="Show which layer to improve next.",
            call="extensions.strengthen.command:strengthen",
        ),
    ),
)
