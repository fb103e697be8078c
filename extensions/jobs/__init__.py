"""Background jobs of many documents or questions, which outlive the process that took them."""

from foundation.extensions import Extension

extension = Extension(
    about="Background jobs of many documents or questions, which outlive the process that took them.",
    settings="extensions.jobs.settings:JobSettings",
    stores="extensions.jobs.store:STORES",
    plug="extensions.jobs.plug:plug",
)
