"""What has changed since last week: quality, questions, refusals, time, cost, parts."""

from foundation.extensions import Command, Extension

extension = Extension(
    about="What has changed since last week: quality, questions, refusals, time, cost, parts.",
    requires=("feedback", "reports"),
    extra="statistics",
    settings="extensions.drift.settings:DriftSettings",
    commands=(
        Command(
            name="drift",
            group="What happened, and what it cost",
            about="Compare this week with last week.",
            call="extensions.drift.command:drift",
        ),
    ),
    plug="extensions.drift.plug:plug",
)
