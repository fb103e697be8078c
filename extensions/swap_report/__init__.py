"""Two systems asked the same questions in turns: what a swap changes in quality, time and money, and a verdict."""

from foundation.extensions import Command, Extension

extension = Extension(
    about="Two systems asked the same questions in turns: what a swap changes in quality, time and money, and a verdict.",
    requires=("datasets", "plots"),
    commands=(
        Command(
            name="swap-report",
            group="Is it good enough, and worth it?",
            about="Ask two systems the same questions and compare.",
            call="extensions.swap_report.command:swap_report",
        ),
    ),
)
