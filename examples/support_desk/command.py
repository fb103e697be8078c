"""`make demo`: the command of the demo."""

from serving.cli.options import STACK, Stack, exit_unless, load_stack
from serving.cli.terminal import console


def demo(stack: Stack = STACK) -> None:
    """All six layers at work on real models, about a minute."""
    from examples.support_desk.demo import run
    from foundation.machine import install

    chat = load_stack(stack).settings.models.chat
    if chat.use == "llama_cpp" and "path" not in chat.options and not install.WEIGHTS.exists():
        install.fetch_weights()  # `uv sync` installs packages only
    exit_unless(ok=run(lambda overrides: load_stack(stack, overrides), console()))
