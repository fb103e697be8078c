"""What people ask to be remembered is told to the model in later conversations; they list, correct and erase it."""

from foundation.extensions import Command, Extension

extension = Extension(
    about="What people ask to be remembered is told to the model in later conversations; they list, correct and erase it.",
    stores="extensions.facts.store:STORES",
    parts=(("orchestration.tools/memory", "extensions.facts.tools"),),
    commands=(
        Command(
            name="facts",
            group="Records and personal data",
            about="Show or edit what is remembered about a person.",
            call="extensions.facts.command:app",
        ),
    ),
    plug="extensions.facts.plug:plug",
)
