"""The chat model judges what each statement of an answer means, with a reason for what it marks; and marks evaluated answers, as far as it agrees with people."""

from foundation.extensions import Command, Extension

GROUP = "Is it good enough, and worth it?"

extension = Extension(
    about="The chat model judges what each statement of an answer means, with a reason for what it marks; and marks evaluated answers, as far as it agrees with people.",
    requires=("datasets", "structured"),
    settings="extensions.judge.settings:JudgeSettings",
    stores="extensions.judge.store:STORES",
    parts=(("models.entailment/chat", "extensions.judge.entailment"),),
    commands=(
        Command(
            name="judge-agreement",
            group=GROUP,
            about="Measure how well a judge model agrees with people.",
            call="extensions.judge.command:judge_agreement",
        ),
        Command(
            name="judge-evaluation",
            group=GROUP,
            about="Mark the answers of the latest evaluation",
            call="extensions.judge.command:judge_evaluation",
        ),
    ),
    plug="extensions.judge.plug:plug",
)
