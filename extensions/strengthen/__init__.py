"""Which layer to strengthen next: where failures begin, and what each part is worth."""

from foundation.extensions import Command, Extension

extension = Extension(
    about="Which layer to strengthen next: where failures begin, and what each part is worth.",
    requires=("swap_report",),
    commands=(
        Command(
            name="strengthen",
            group="Is it good enough, and worth it?",
            about="Which layer to strengthen next.",
            call="extensions.strengthen.command:strengthen",
        ),
    ),
)
