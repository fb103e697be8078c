"""What the system is worth: the business case before it is built, and recorded outcomes under the contract after."""

from foundation.extensions import Command, Extension

GROUP = "Is it good enough, and worth it?"

extension = Extension(
    about="What the system is worth: the business case before it is built, and recorded outcomes under the contract after.",
    commands=(
        Command(
            name="model-frontier",
            group=GROUP,
            about="Quality against money and time.",
            call="extensions.value.frontier_command:model_frontier",
        ),
        Command(
            name="business-case",
            group=GROUP,
            about="What outcomes.toml promises.",
            call="extensions.value.commands:business_case",
        ),
        Command(
            name="outcome",
            group=GROUP,
            about="Record what became of an answer.",
            call="extensions.value.commands:outcome",
        ),
        Command(
            name="roi",
            group=GROUP,
            about="What the recorded outcomes were worth: ship, hold or stop.",
            call="extensions.value.commands:roi",
        ),
        Command(
            name="value-report",
            group=GROUP,
            about="The same as one page.",
            call="extensions.value.commands:value_report",
        ),
    ),
    plug="extensions.value.plug:plug",
)
