"""The examples' commands: `make demo`, or `python -m examples.cli demo`."""

import typer

from examples.support_desk.command import demo
from serving.cli.main import run

app = typer.Typer(
    help="The system at work on example documents.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(demo)


@app.callback()
def _options() -> None:
    """A program of several commands, as those of the system and the lab are."""


if __name__ == "__main__":
    run(app)
