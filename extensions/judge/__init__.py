"""The chat model judges what each statement of an answer means, in one call an answer, and gives a reason for what it marks."""

from foundation.extensions import Extension

extension = Extension(
    about="The chat model judges what each statement of an answer means, in one call an answer, and gives a reason for what it marks.",
    settings="extensions.judge.settings:JudgeSettings",
    plug="extensions.judge.plug:plug",
)
