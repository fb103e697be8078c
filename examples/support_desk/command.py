"""`make demo`: the command of the demo."""

from serving.cli.options import STACK, Stack, exit_unless, load_stack
from serving.cli.terminal import console


def demo(stack: Stack = STACK) -> None:
    """All six layers at work on real models, about a minute."""
    from examples.support_desk.demo import run

    exit_unless(ok=run(lambda overrides: load_stack(stack, overrides), console()))
