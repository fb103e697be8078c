"""The command line as people meet it: help, errors, keys, and commands that need no model."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from typer.main import get_command

from serving.cli.main import COMMANDS, app, main
from tests.doubles.command_line import commands

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run a command in this process, with a data folder of its own."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SIXPLY__FOUNDATION__DATA_DIR", str(tmp_path / "var"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("serving.cli.main._quiet", lambda: None)  # it is for a whole process
    monkeypatch.setattr("observability.telemetry.logs.set_up", lambda _: None)  # and so is this

    def run(*arguments: str, **environment: str) -> Done:
        with monkeypatch.context() as patch:
            patch.setattr("sys.argv", ["sixply", *arguments])
            for name, value in environment.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as end:
                main()
        out, err = capsys.readouterr()
        return Done(int(end.value.code or 0), out, err)

    return run


def test_every_command_and_every_option_is_explained() -> None:
    for path, command in commands(get_command(app)):
        assert command.help, f"{' '.join(path)} has no help"
        for parameter in command.params:
            if parameter.name != "help":
                assert getattr(parameter, "help", None), f"{' '.join(path)}: {parameter.name} has no help"


def test_the_list_of_commands_says_how_the_help_of_each_begins() -> None:
    group: Any = get_command(app)
    for name, (_, line) in ((name, entry) for listed in COMMANDS.values() for name, entry in listed.items()):
        assert group.commands[name].help.replace("\n", " ").startswith(line.removesuffix(".")), name


EITHER = {("swap_report", "data"), ("strengthen", "data")}
"""Take a file or a folder, and tell them apart themselves."""


def test_every_path_that_a_command_takes_is_said_to_be_a_file_or_a_folder() -> None:
    """Then a folder in place of a file is refused before anything is read."""
    seen = 0
    for _, command in commands(get_command(app)):
        hints = get_type_hints(command.callback, include_extras=True)
        for name, hint in hints.items():
            kinds, told = get_args(hint)[:1], get_args(hint)[1:]
            if Path not in (*kinds, *(part for kind in kinds for part in get_args(kind))):
                continue
            seen += 1
            either = (command.callback.__name__, name) in EITHER
            assert told[0].dir_okay + told[0].file_okay == 1 + either, f"{command.callback.__name__}: {name}"
    assert seen > 40


@pytest.mark.parametrize("content", [None, b"\xb4\xff", b"[1,2"])
@pytest.mark.parametrize("command", [["cases-from-feedback", "--take"], ["evaluate", "--golden"]])
def test_a_file_that_is_none_of_its_kind_is_an_error_in_one_text(
    cli: Callable[..., Done], tmp_path: Path, command: list[str], content: bytes | None
) -> None:
    file = tmp_path / "given"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    done = cli(*command, str(file))
    assert done.returncode == 2, done.stderr
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr


def test_a_variable_names_the_configuration_and_the_option_wins(cli: Callable[..., Done], tmp_path: Path) -> None:
    for name, seed in (("variable.toml", 11), ("option.toml", 12)):
        (tmp_path / name).write_text(f"[foundation]\nseed = {seed}\n", encoding="utf-8")
    variable = str(tmp_path / "variable.toml")
    assert "variable.toml" in cli("config", SIXPLY_STACK=variable).stdout
    assert "variable.toml" not in cli("config", "--stack", str(tmp_path / "option.toml"), SIXPLY_STACK=variable).stdout


def test_a_configuration_exported_by_a_name_that_no_command_reads_is_refused(
    cli: Callable[..., Done], tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text("", encoding="utf-8")
    mine = str(tmp_path / "mine.toml")
    done = cli("config", STACK=mine)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"Say export SIXPLY_STACK={mine}" in done.stderr
    meant = (cli("config", STACK="heroku-24"), cli("config", STACK=mine, SIXPLY_STACK=mine))
    assert [each.returncode for each in (*meant, cli("config", "--stack", mine, STACK="other.toml"))] == [0, 0, 0]


def test_an_error_is_one_text_on_standard_error_and_status_2(cli: Callable[..., Done]) -> None:
    done = cli("config", SIXPLY__MODEL__CHAT__USE="x")
    assert done.returncode == 2
    assert done.stdout == ""
    assert 'Did you mean "models"?' in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["documents"],
        ["keys", "add", "--subject", "a", "--tenant", "t", "--role", "reader"],
        ["ask", "How long?"],
    ],
)
def test_a_data_folder_that_cannot_be_made_is_named(
    cli: Callable[..., Done], tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    done = cli(*command, SIXPLY__FOUNDATION__DATA_DIR=str(tmp_path / "file" / "var"))
    assert done.returncode == 2, done.stderr
    said = " ".join(done.stderr.split())
    assert "file/var cannot be made or written: Not a directory. Choose another" in said


def test_parts_of_your_own_are_found_in_the_current_folder(
    cli: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The installed program does not look there by itself, as `python -m` does."""
    monkeypatch.setattr("sys.path", [folder for folder in sys.path if folder])
    assert cli("config").returncode == 0
    assert sys.path[0] == ""


@pytest.mark.parametrize(("option", "status", "shown"), [([], 2, False), (["--debug"], 1, True)])
def test_a_traceback_is_shown_only_on_request(option: list[str], status: int, *, shown: bool) -> None:
    command = [sys.executable, "-m", "serving.cli", *option, "config", "--stack", "absent.toml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == status
    assert "No configuration at absent.toml" in done.stderr
    assert ("Traceback" in done.stderr) is shown


def test_config_masks_secrets_and_says_where_values_come_from(cli: Callable[..., Done]) -> None:
    done = cli("config", "--json", "-", SIXPLY__MODELS__CHAT__API_KEY="topsecret", SIXPLY__FOUNDATION__SEED="9")
    assert done.returncode == 0, done.stderr
    assert "topsecret" not in done.stdout + done.stderr
    assert json.loads(done.stdout)["foundation.seed"] == {"value": "9", "from": "environment"}


def test_a_key_is_made_shown_once_listed_without_itself_and_revoked(cli: Callable[..., Done]) -> None:
    made = cli("keys", "add", "--subject", "ada", "--tenant", "north", "--role", "reader", "--group", "board")
    key = made.stdout.split()[0]
    assert key.startswith("sixply_")
    listed = cli("keys")
    assert "ada" in listed.stdout
    assert key not in listed.stdout
    key_id = next(line.split()[0] for line in listed.stdout.splitlines() if "ada" in line)
    assert cli("keys", "revoke", key_id).returncode == 0
    assert "ada" not in cli("keys").stdout
    again = cli("keys", "revoke", key_id)
    assert (again.returncode, key_id in again.stderr) == (2, True)


def test_an_option_before_the_command_that_would_not_see_it_is_refused(cli: Callable[..., Done]) -> None:
    done = cli("keys", "--stack", "other.toml", "add", "--subject", "a", "--tenant", "t", "--role", "reader")
    assert (done.returncode, "Write --stack behind add, not before it." in done.stderr) == (2, True), done


def test_a_key_with_an_unknown_role_is_not_made(cli: Callable[..., Done]) -> None:
    done = cli("keys", "add", "--subject", "ada", "--tenant", "north", "--role", "raeder")
    assert done.returncode == 2
    assert 'Did you mean "reader"?' in done.stderr


def test_serving_other_machines_without_a_key_fails_at_once_and_names_the_command(cli: Callable[..., Done]) -> None:
    done = cli("serve", SIXPLY__SERVING__HTTP__HOST="0.0.0.0")
    assert done.returncode == 2
    assert "sixply keys add" in done.stderr


def test_asking_nothing_or_as_nobody_is_refused_before_anything_is_loaded(
    cli: Callable[..., Done], tmp_path: Path
) -> None:
    assert "empty" in cli("ask", "  ").stderr
    assert 'No role "raeder"' in cli("ask", "q", "--role", "raeder").stderr
    assert 'No way to compose "poem"' in cli("ask", "q", "--compose", "poem").stderr
    assert not (tmp_path / "var").exists()


def test_stores_that_are_still_empty_give_empty_lists(cli: Callable[..., Done]) -> None:
    for command in (["costs"], ["approvals"]):
        done = cli(*command, "--json", "-")
        assert (done.returncode, json.loads(done.stdout)) == (0, []), done.stderr
    unknown = cli("trace", "abc123")
    assert unknown.returncode == 2
    assert "No stored trace" in unknown.stderr
    assert "Ask something first" in cli("trace", "last").stderr


def test_costs_by_something_unknown_name_what_there_is(cli: Callable[..., Done]) -> None:
    assert "tenant" in cli("costs", "--by", "weather").stderr


def test_a_profile_that_does_not_exist_is_an_error(cli: Callable[..., Done]) -> None:
    assert cli("config", SIXPLY_PROFILE="nope").returncode == 2


def test_a_person_is_erased_whole_where_a_server_has_run(cli: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "server.lock").touch()  # what `sixply serve` leaves there
    done = cli("erase", "--user", "ada", "--tenant", "acme")
    assert (done.returncode, "No store says" in done.stdout) == (0, False), done.stdout
