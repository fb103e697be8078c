"""What the system is worth: the business case before it is built, and recorded outcomes under the contract after."""

from foundation.extensions import Command, Extension

GROUP = "Is it good enough, and worth it?"

extension = Extension(
    about="What the system is worth: the business case before it is built, and recorded outcomes under the contract after.",
    requires=("feedback", "plots"),
    extra="statistics",
    commands=(
        Command(
            name="business-case",
            group=GROUP,
            about="Show the business case in outcomes.toml.",
            call="extensions.value.commands:business_case",
        ),
        Command(
            name="roi",
            group=GROUP,
            about="Value the recorded outcomes: ship, hold or stop.",
            call="extensions.value.commands:roi",
        ),
        Command(
            name="value-report",
            group=GROUP,
            about="Write the value report as one page.",
            call="extensions.value.commands:value_report",
        ),
    ),
    plug="extensions.value.plug:plug",
)
