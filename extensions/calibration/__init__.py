"""From which confidence something is shown, and from which it is called an answer: both fitted to your own questions."""

from foundation.extensions import Command, Extension

extension = Extension(
    about="From which confidence something is shown, and from which it is called an answer: both fitted to your own questions.",
    requires=("datasets",),
    extra="statistics",
    commands=(
        Command(
            name="calibrate",
            group="Is it good enough, and worth it?",
            about="Measure the thresholds for showing something and for calling it an answer",
            call="extensions.calibration.command:calibrate",
        ),
    ),
)
