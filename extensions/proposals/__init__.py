"""Golden questions from your own documents and from judged answers, which you let in one by one."""

from foundation.extensions import Command, Extension

GROUP = "Is it good enough, and worth it?"

extension = Extension(
    about="Golden questions from your own documents and from judged answers, which you let in one by one.",
    requires=("feedback", "redaction", "structured"),
    commands=(
        Command(
            name="golden",
            group=GROUP,
            about="Propose golden questions from your documents.",
            call="extensions.proposals.golden_command:golden",
        ),
        Command(
            name="cases-from-feedback",
            group=GROUP,
            about="Turn rated answers into test cases.",
            call="extensions.proposals.feedback_command:cases_from_feedback",
        ),
        Command(
            name="why",
            group=GROUP,
            about="Say where a bad answer was lost, and make a case of it.",
            call="extensions.proposals.why_command:why",
        ),
    ),
)
