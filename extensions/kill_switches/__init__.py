"""Kill switches: an operator stops effects, a tenant, a model or everything, in every process, also on a full disk."""

from foundation.extensions import Command, Extension

GROUP = "Who may do what"

extension = Extension(
    about="Kill switches: an operator stops effects, a tenant, a model or everything, in every process, also on a full disk.",
    commands=(
        Command(
            name="stop",
            group=GROUP,
            about="Stop effects, a tenant, a model or everything.",
            call="extensions.kill_switches.command:stop",
        ),
        Command(
            name="lift",
            group=GROUP,
            about="Lift a stop.",
            call="extensions.kill_switches.command:lift",
        ),
        Command(
            name="stops",
            group=GROUP,
            about="List stops, with who set them and why.",
            call="extensions.kill_switches.command:stops",
        ),
    ),
    plug="extensions.kill_switches.plug:plug",
    stores="extensions.kill_switches.stops:STORES",
)
