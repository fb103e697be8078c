"""Reports for whoever runs the system: the latest, the slowest and the failed requests, and what the next month will cost."""

from foundation.extensions import Command, Extension

GROUP = "What happened, and what it cost"

extension = Extension(
    about="Reports for whoever runs the system: the latest, the slowest and the failed requests, and what the next month will cost.",
    extra="statistics",
    commands=(
        Command(
            name="traces",
            group=GROUP,
            about="List the latest requests.",
            call="extensions.reports.commands:traces",
        ),
        Command(
            name="slow",
            group=GROUP,
            about="Show the slowest requests, and the time in each layer.",
            call="extensions.reports.commands:slow",
        ),
        Command(
            name="failures",
            group=GROUP,
            about="Group failed requests by where they began.",
            call="extensions.reports.commands:failures",
        ),
        Command(
            name="forecast",
            group=GROUP,
            about="Forecast the cost of the next 30 days.",
            call="extensions.reports.commands:forecast",
        ),
    ),
)
