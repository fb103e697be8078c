"""The system card: what runs, what it may do, how good it was measured to be, and what can go wrong, with its controls."""

from foundation.extensions import Command, Extension

extension = Extension(
    about="The system card: what runs, what it may do, how good it was measured to be, and what can go wrong, with its controls.",
    requires=("plots",),
    commands=(
        Command(
            name="system-card",
            group="Records and personal data",
            about="Write the system card.",
            call="extensions.governance.system_card:system_card",
        ),
    ),
)
