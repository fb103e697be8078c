"""Where the judge plugs in."""

from extensions.judge.judging import JudgeCheck
from extensions.judge.settings import JudgeSettings
from serving.hooks import Hooks


def plug(hooks: Hooks) -> None:
    hooks.answer_checks.append(JudgeCheck.of(hooks.section(JudgeSettings), hooks.context.stack_dir))
