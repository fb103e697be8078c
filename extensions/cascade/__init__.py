"""Cheaper models first: a question goes to a dearer one where quotes are not sure enough, or two samples of the model disagree."""

from foundation.extensions import Command, Extension

extension = Extension(
    about="Cheaper models first: a question goes to a dearer one where quotes are not sure enough, or two samples of the model disagree.",
    requires=("value",),
    parts=(("orchestration.agent/cascade", "extensions.cascade.cascade"),),
    commands=(
        Command(
            name="model-frontier",
            group="Is it good enough, and worth it?",
            about="Plot quality against cost and latency.",
            call="extensions.cascade.frontier_command:model_frontier",
        ),
    ),
    plug="extensions.cascade.plug:plug",
)
