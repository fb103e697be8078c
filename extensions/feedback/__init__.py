"""People say what became of an answer: accepted, edited, rejected, or passed on."""

from foundation.extensions import Command, Extension

extension = Extension(
    about="People say what became of an answer: accepted, edited, rejected, or passed on.",
    stores="extensions.feedback.store:STORES",
    commands=(
        Command(
            name="outcome",
            group="Is it good enough, and worth it?",
            about="Record the outcome of an answer.",
            call="extensions.feedback.commands:outcome",
        ),
        Command(
            name="outcomes",
            group="What happened, and what it cost",
            about="What answers cost, by their outcome.",
            call="extensions.feedback.commands:outcomes",
        ),
    ),
    plug="extensions.feedback.plug:plug",
)
