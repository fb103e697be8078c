"""The command line: `sixply COMMAND`, or `python -m serving.cli COMMAND`."""

import os
import sys
from collections import UserDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from foundation import extensions
from foundation.errors import InvalidRequest, InvalidSetting, SixplyError
from foundation.machine import process
from foundation.machine.process import catch_stop_signals

# Group -> name -> the command's function, and the start of its help. Those of extensions follow.
COMMANDS = {
    "Start here": {
        "ask": ("serving.cli.ask:ask", "Ask a question and print the answer with its sources."),
        "trace": ("serving.cli.trace:trace", "Show what happened in one request: steps, times, costs."),
        "ingest": ("serving.cli.documents:ingest", "Add documents, or replace those with the same name."),
        "serve": ("serving.cli.serve:serve", "Run the API server."),
        "doctor": ("serving.cli.doctor:doctor", "Check this machine and its configuration."),
    },
    "Documents": {
        "documents": ("serving.cli.documents:documents", "List documents, and those that were refused."),
        "reindex": ("serving.cli.documents:reindex", "Chunk and embed all documents again"),
    },
    "Who may do what": {
        "keys": ("serving.cli.govern.keys:app", "Create, list and revoke API keys."),
        "policy": ("serving.cli.govern.policy:policy", "Show whether the policy allows an action, and by which rule."),
        "approvals": ("serving.cli.govern.approvals:approvals", "List actions that wait for approval."),
        "approve": ("serving.cli.govern.approvals:approve", "Approve a waiting action."),
        "reject": ("serving.cli.govern.approvals:reject", "Reject a waiting action."),
    },
    "What happened, and what it cost": {
        "costs": ("serving.cli.trace:costs", "Money spent."),
        "config": ("serving.cli.doctor:config", "Show every setting and where it was set. Secrets are masked."),
    },
    "Records and personal data": {
        "erase": ("serving.cli.govern.erasure:erase", "Erase everything stored about one person."),
        "retention": ("serving.cli.govern.erasure:retention", "Delete records older than [foundation.retention]"),
    },
    "Is it good enough, and worth it?": {
        "evaluate": ("serving.cli.judge.evaluate:evaluate", "Score the system on the golden set."),
        "gate": ("serving.cli.judge.gate:gate", "Fail if a score fell below the committed baseline."),
    },
    "Change it": {
        "extensions": ("serving.cli.extensions:extensions", "List extensions"),
        "add": ("serving.cli.extensions:add", "Turn an extension on, with those it requires."),
        "remove": ("serving.cli.extensions:remove", "Turn an extension off."),
    },
}


def named_stack() -> Path:
    """Return the stack that the command line or make names, before either is parsed."""
    words = sys.argv[1:]
    given = [word.removeprefix("--stack=") for word in words if word.startswith("--stack=")]
    given += [after for word, after in pairwise(words) if word == "--stack"]
    of_make = os.environ.get("STACK", "")  # other programs have one, too
    exported = of_make if of_make.endswith(".toml") else os.environ.get("SIXPLY_STACK", "stack.toml")
    return Path(given[0] if given else exported)


def list_commands(names_on: Iterable[str]) -> dict[str, dict[str, tuple[str, str]]]:
    """Return the commands of the core and of these extensions. Raises InvalidSetting: two have one name."""
    groups = {title: dict(group) for title, group in COMMANDS.items()}
    names = {name for group in groups.values() for name in group}
    for extension in names_on:
        declared: Sequence[extensions.Command] = ()
        with suppress(SixplyError):  # whoever reads the settings is told of it
            declared = extensions.find(extension).commands
        for command in declared:
            if command.name in names:
                raise InvalidSetting(
                    f'There are two commands "{command.name}", one of them of the extension "{extension}". Rename it.'
                )
            names.add(command.name)
            groups.setdefault(command.group, {})[command.name] = (command.call, command.about)
    return groups


class _Commands(UserDict[str, Any]):
    """Imports a command at its first use."""

    def __getitem__(self, name: str) -> Any:
        module, _, attribute = super().__getitem__(name).partition(":")
        command_or_app = getattr(import_module(module), attribute)
        if not isinstance(command_or_app, typer.Typer):
            program = typer.Typer(add_completion=False, rich_markup_mode=None)
            program.command(name)(command_or_app)
            command_or_app = program
        command = typer.main.get_command(command_or_app)
        command.name = name
        return command


class _Group(TyperGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.groups = list_commands(extensions.read_names(named_stack()))
        self.commands = _Commands({name: place for group in self.groups.values() for name, (place, _) in group.items()})

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - click calls it so
        for title, group in self.groups.items():
            if group:
                with formatter.section(title):
                    formatter.write_dl([(name, line) for name, (_, line) in group.items()])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.commands and (off := extensions.explain_unknown_command(args[0])):
            raise InvalidRequest(off)
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Group,
    help="An AI system in six layers. Start with: sixply ask",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def _options(
    *, debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error, and all warnings.")] = False
) -> None:
    """`--debug` is read in `main`, which must know it before anything is imported."""


def main() -> None:
    """Run a command of the product. Modules below the current folder are importable, as with `python -m`."""
    if "" not in sys.path:
        sys.path.insert(0, "")
    run(app)


def run(commands: Callable[[], object]) -> None:
    """Run a command, or a program's command line. Exit status 1: a check failed; 2: an error, explained on stderr."""
    # files, also those of libraries, are for this user only
    os.umask(0o077)
    # end in order, as Ctrl-C does: else a large index is filled again at the next start
    catch_stop_signals()
    process.keep_what_is_imported()
    debug = "--debug" in sys.argv[1:]
    if not debug:
        _quiet()
    try:
        commands()
    except SixplyError as error:
        if debug:
            raise
        from serving.cli.terminal import show_error

        show_error(error)
        sys.exit(2)


def _quiet() -> None:
    import warnings

    warnings.simplefilter("ignore")
    for name, value in {
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
        "ANONYMIZED_TELEMETRY": "False",
    }.items():
        os.environ.setdefault(name, value)


if __name__ == "__main__":
    main()
