"""`make COMMAND NAME=value` runs that command with those values, and says so where it has no use for one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from foundation.errors import InvalidRequest
from serving.cli import make
from tests.make_rules import COMMANDS, RULES, to_arguments

ROOT = Path(__file__).parents[3]
PROMISED = {
    "ask": "AS_OF PLAN Q ROLE STACK TENANT THREAD",
    "trace": "ID JSON STACK",
    "ingest": "CLASS JSON PRUNE RETRY SRC STACK TENANT",
    "serve": "STACK",
    "doctor": "STACK",
    "documents": "GROUP STACK TENANT",
    "reindex": "STACK",
    "keys": "STACK",
    "policy": "CLASS JSON MODEL ROLE STACK TENANT TOOL",
    "approvals": "STACK TENANT",
    "approve": "ID SET STACK TENANT",
    "reject": "ID STACK TENANT",
    "costs": "BY JSON STACK",
    "config": "STACK",
    "erase": "JSON STACK TENANT USER_ID",
    "retention": "JSON STACK",
    "evaluate": "GOLDEN JSON LIMIT STACK",
    "gate": "JSON MARKDOWN RENEW STACK",
    "setup": "WITH",
    "test": "ARGS CORE",
    "test-quick": "ARGS LAYER",
    "check": "",
    "format": "",
    "adapter": "NAME PORT",
    "contracts": "JSON NAME OPTIONS PORT STACK",
    "parts": "JSON",
    "lock": "ARGS",
    "clean": "",
}
"""Target -> the values that people give it. Their scripts hold them, so none of these may go."""
PRINTS = """#!/bin/sh
exec python3 -c 'import json, os, sys; print(json.dumps([sys.argv[1:], os.environ.get("Q")]))' "$@"
"""


def run_make(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *words], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture
def say_make(tmp_path: Path):
    """Run make with a Python that only says what it was called with, and which Q stood in its environment."""
    (tmp_path / "python").write_text(PRINTS)
    (tmp_path / "python").chmod(0o700)

    def run(*words: str) -> list[tuple[list[str], str | None]]:
        done = run_make("-o", "_base", "-o", "_dev", f"BIN={tmp_path}", *words)
        assert done.returncode == 0, done.stderr
        return [tuple(json.loads(line)) for line in done.stdout.splitlines()]

    return run


@pytest.mark.parametrize("target", sorted(PROMISED))
def test_every_target_that_was_promised_takes_the_values_that_were_promised(target: str):
    assert set(PROMISED[target].split()) <= RULES[target]


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (
            "make ask Q='How long?' TENANT=north ROLE=agent PLAN=1 AS_OF=2025-03-31 THREAD=",
            ["ask", "--tenant=north", "--role=agent", "--plan", "--as-of=2025-03-31", "--", "How long?"],
        ),
        ("make ask Q='How long?' ROLE='agent lead'", ["ask", "--role=agent", "--role=lead", "--", "How long?"]),
        ("make ask Q='-5 degrees?' PLAN=0", ["ask", "--", "-5 degrees?"]),
        ("make trace ID=last JSON=-", ["trace", "--json=-", "--", "last"]),
        ("make ingest RETRY=1 CLASS=internal", ["ingest", "--retry", "--class=internal"]),
        ("make ingest SRC=folder PRUNE=yes", ["ingest", "--prune", "--", "folder"]),
        ("make erase USER_ID=ada TENANT=north", ["erase", "--user=ada", "--tenant=north"]),
        ("make adapter NAME=acme PORT=retrieval/vectors", ["adapter", "--", "retrieval/vectors", "acme"]),
    ],
)
def test_a_value_goes_to_the_option_or_argument_of_its_name(command: str, arguments: list[str]):
    assert to_arguments(command) == arguments


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("make ask Q=x TENNANT=north", "make ask takes no value named TENNANT"),
        ("make ask TENANT=north", "make ask needs Q="),
        ("make erase USER_ID=ada", "make erase needs TENANT="),
        ("make ask Q=x PLAN=maybe", 'PLAN is a switch, and "maybe" is neither on nor off. Say PLAN=1.'),
    ],
)
def test_what_a_command_cannot_be_called_with_is_an_error(command: str, said: str):
    with pytest.raises(InvalidRequest, match=said) as error:
        to_arguments(command)
    assert ("AS_OF=  Answer from the versions in force" in str(error.value)) is (
        "takes" in str(error.value) and "ask" in command
    )


def test_the_error_of_make_lists_what_the_command_takes_or_which_commands_there_are():
    wrong = run_make("-o", "_base", f"BIN={Path(sys.executable).parent}", "documents", "TENNANT=north")
    assert wrong.returncode == 2
    assert "make documents takes no value named TENNANT" in wrong.stderr
    assert "  TENANT=  The tenant whose documents are used." in wrong.stderr
    unknown = run_make("-o", "_base", f"BIN={Path(sys.executable).parent}", "documetns")
    assert unknown.returncode == 2
    assert 'There is no command "documetns"' in unknown.stderr
    assert 'Did you mean "documents"?' in unknown.stderr


@pytest.mark.parametrize(
    ("typed", "meant"), [("aks", '"ask"'), ("ingset", '"ingest"'), ("tset", '"test"'), ("documets", '"documents"')]
)
def test_a_misspelt_command_means_one_of_the_product_or_a_rule_before_one_of_the_lab(typed: str, meant: str):
    unknown = run_make("-o", "_base", f"BIN={Path(sys.executable).parent}", typed)
    assert f'There is no command "{typed}". Did you mean {meant}' in unknown.stderr
    assert "Found:" not in unknown.stderr, "a list of all commands hides the one that was meant"


@pytest.mark.parametrize("target", ["help", "check", "test"])
def test_a_rule_of_the_makefile_refuses_what_it_does_not_take(target: str):
    wrong = run_make("-n", target, "Q=x")
    assert wrong.returncode == 2
    assert f"make {target} takes no value named Q" in wrong.stderr


def test_text_arrives_as_it_was_written(say_make, tmp_path: Path):
    mark = tmp_path / "mark"
    text = f"a $b $$ $(shell touch {mark}) `touch {mark}` \"c\" 'd'; e # f \\ g & | < > %\nsecond line"
    ((arguments, question),) = say_make("ask", f"Q={text}", "TENANT=north")
    assert arguments[:3] == ["-m", "serving.cli.make", "ask"]
    assert question == text
    assert not mark.exists()


def test_several_targets_share_the_values_and_each_takes_its_own(say_make):
    first, second = (arguments for arguments, _ in say_make("ask", "trace", "Q=x", "ID=last"))
    assert (first[2], second[2]) == ("ask", "trace")
    assert {"Q", "ID"} <= set(first)
    assert make.to_arguments(COMMANDS["trace"], {"Q": "x", "ID": "last"}, make.parameters_of(COMMANDS["ask"])) == [
        "--",
        "last",
    ]


def test_settings_and_the_choice_of_the_interpreter_are_no_values(say_make):
    ((arguments, _),) = say_make("documents", "PYTHON=python3", "SIXPLY__FOUNDATION__SEED=9")
    assert arguments[arguments.index("--values") : arguments.index("--goals")] == ["--values"]


def test_a_dry_run_says_what_would_be_run_and_runs_nothing():
    done = run_make("-n", "demo")
    assert done.returncode == 0
    assert "serving.cli.make demo" in done.stdout
