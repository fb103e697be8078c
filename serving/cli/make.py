"""`make COMMAND NAME=value`: run the command with make's values. The Makefile has one rule for all commands.

A value goes to the option or argument of its name: `TENANT=north` is `--tenant north`, `ID=last` the argument ID, `PLAN=1`
the switch `--plan`. An option that may be repeated takes several, with blanks between them. Empty values are ignored.
"""

import argparse
import os
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from typing import Any

import typer

from foundation import extensions
from foundation.errors import InvalidRequest, suggest
from serving.cli import main as product

# Parameter -> its name in make, where it differs. Shells set USER to the person who is logged in.
ALIASES = {"question": "Q", "user": "USER_ID", "operations": "OPS"}
SWITCH = {"1": True, "yes": True, "true": True, "on": True, "0": False, "no": False, "false": False, "off": False}


def main() -> None:
    """Run make's command. Values are read from the environment, which keeps quotes and dollars as they are."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    parser.add_argument("--values", nargs="*", default=[], help="The names of the values.")
    parser.add_argument("--goals", nargs="*", default=[], help="All that make was told to do.")
    parser.add_argument("--rules", nargs="*", default=[], help="What make does by itself.")
    parser.add_argument("--programs", nargs="+", required=True, help="The modules whose programs have the commands.")
    order = parser.parse_args()
    product.run(lambda: _run(order))


def find_command(name: str, programs: Sequence[str], rules: Sequence[str] = ()) -> tuple[Any, str]:
    """Return the command with this name, and the module whose program has it. Raises InvalidRequest: there is none.

    `rules` are make's own, which a misspelt name may mean as well.
    """
    groups = [[*rules]]
    for program in programs:
        commands: Mapping[str, Any] = vars(typer.main.get_command(import_module(program).app))["commands"]
        if name in commands:
            return commands[name], program
        groups.append([*commands])
    if off := extensions.explain_unknown_command(name):
        raise InvalidRequest(off)
    # the first program is the product's: its commands and the rules are suggested before those of the others
    meant = suggest(name, [*groups[0], *groups[1]], *groups[2:])
    raise InvalidRequest(
        f'There is no command "{name}". {meant}{" " * bool(meant)}make lists the first commands, .venv/bin/sixply --help all.'
    )


def parameters_of(command: Any) -> dict[str, Any]:
    """Return the command's parameters, by their names in make."""
    return {_name_of(parameter): parameter for parameter in command.params}


def to_arguments(command: Any, values: Mapping[str, str], taken_by_others: Collection[str] = ()) -> list[str]:
    """Convert values to arguments; `taken_by_others` are names of other commands of the run. Raises InvalidRequest."""
    parameters = parameters_of(command)
    listed = "\n".join([f"make {command.name} takes:", *(f"  {name}=  {it.help}" for name, it in parameters.items())])
    for name in sorted(values.keys() - parameters.keys() - set(taken_by_others)):
        raise InvalidRequest(
            f"make {command.name} takes no value named {name}. What is for another program goes before it: "
            f"{name}=... make {command.name}\n{listed}"
        )
    options: list[str] = []
    operands: list[str] = []
    for name, parameter in parameters.items():
        value = values.get(name, "")
        if not value and parameter.required:
            raise InvalidRequest(f"make {command.name} needs {name}=...\n{listed}")
        if not value:
            continue
        if parameter.param_type_name == "argument":
            operands += value.split() if parameter.nargs == -1 else [value]
        elif parameter.is_flag:
            options += [parameter.opts[-1]] if _is_on(name, value) else []
        else:
            options += [f"{parameter.opts[-1]}={each}" for each in (value.split() if parameter.multiple else [value])]
    return [*options, "--", *operands] if operands else options


def _run(order: argparse.Namespace) -> None:
    command, program = find_command(order.command, order.programs, order.rules)
    values = {name: os.environ.pop(name, "") for name in order.values}
    others = [name for goal in {*order.goals} - {order.command} for name in _names_of(goal, order.programs)]
    called_as = "sixply" if program == product.__name__ else f"python -m {program}"
    import_module(program).app([order.command, *to_arguments(command, values, others)], prog_name=called_as)


def _names_of(goal: str, programs: Sequence[str]) -> Collection[str]:
    try:
        return parameters_of(find_command(goal, programs)[0])
    except InvalidRequest:  # a rule of the Makefile itself, or a mistake that make will report
        return ()


def _name_of(parameter: Any) -> str:
    if parameter.name in ALIASES:
        return ALIASES[parameter.name]
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    return str(parameter.opts[-1].lstrip("-").replace("-", "_").upper())


def _is_on(name: str, value: str) -> bool:
    if value.lower() not in SWITCH:
        raise InvalidRequest(f'{name} is a switch, and "{value}" is neither on nor off. Say {name}=1.')
    return SWITCH[value.lower()]


if __name__ == "__main__":
    main()
