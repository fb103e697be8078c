"""A few calls show what a chat model can do, such as calling tools, and which line states it in stack.toml."""

from foundation.extensions import Command, Extension

extension = Extension(
    about="A few calls show what a chat model can do, such as calling tools, and which line states it in stack.toml.",
    commands=(
        Command(
            name="model-check",
            group="Change it",
            about="Test what the chat model can do, in eleven calls.",
            call="extensions.model_check.command:model_check",
        ),
    ),
)
