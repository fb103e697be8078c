"""Where the judge plugs in."""

from extensions.judge.judging import JudgeCheck
from extensions.judge.settings import JudgeSettings
from serving.hooks import Hooks


def plug(hooks: Hooks) -> None:
    settings = hooks.section(JudgeSettings)
    if settings.each_answer:
        hooks.answer_checks.append(JudgeCheck.of(settings))
