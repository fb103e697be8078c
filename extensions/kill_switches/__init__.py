"""Kill switches: an operator stops effects, a tenant, a model or everything, in every process, also on a full disk."""

from foundation.extensions import Command, Extension

GROUP = "Who may do what"

extension = Extension(
    about="Kill switches: an operator stops effects, a tenant, a model or everything, in every process, also on a full disk.",
    commands=(
        Command(
            name="stop",
            group=GROUP,
            about="Kill switch: holds from the next step of any work.",
            call="extensions.kill_switches.command:stop",
        ),
        Command(
            name="lift",
            group=GROUP,
            about="Let work again what was stopped.",
            call="extensions.kill_switches.command:lift",
        ),
        Command(
            name="stops",
            group=GROUP,
            about="What is stopped, by whom and why.",
            call="extensions.kill_switches.command:stops",
        ),
    ),
    plug="extensions.kill_switches.plug:plug",
)
