"""What plans and acts for a chat model that calls no tools: by examples and patterns, and by quotes from the documents."""

from foundation.extensions import Extension

extension = Extension(
    about="What plans and acts for a chat model that calls no tools: by examples and patterns, and by quotes from the documents.",
    requires=("structured",),
    parts=(
        ("orchestration.agent/graph", "extensions.planned_agent.agent"),
        ("orchestration.prompts/planned_agent", "extensions.planned_agent.prompts"),
    ),
)
