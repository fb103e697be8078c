"""The list in stack.toml turns extensions on, and each mistake about one is a sentence."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

import extensions as package
from foundation import components, extensions
from foundation.errors import DocumentRefused, InvalidSetting, SixplyError, UnknownPart, UnknownSetting
from foundation.settings import Part
from retrieval.ingest import parsing
from serving.settings import load

Write = Callable[..., None]
SECTION = """
from foundation.settings import Section


class Hall(Section):
    doors: int = 2
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes an extension into a folder that is looked through like extensions/."""
    folder = tmp_path / "more"
    folder.mkdir()
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])

    def write(name: str, declared: str = "about='It waits.'", **files: str) -> None:
        (folder / name).mkdir()
        text = f"from foundation.extensions import Command, Extension\nextension = Extension({declared})\n"
        for file, content in {"__init__": text, **files}.items():
            (folder / name / f"{file}.py").write_text(content, encoding="utf-8")

    return write


def stack(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "stack.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_name_that_no_folder_has_is_told_with_the_nearest(write: Write) -> None:
    write("lobby_one")
    assert "lobby_one" in extensions.installed()
    with pytest.raises(UnknownPart, match=r'no extension "loby_one" in extensions/.*Did you mean "lobby_one"'):
        extensions.turn_on(["loby_one"])


def test_what_one_requires_is_on_and_comes_before_it(write: Write) -> None:
    write("porch_one", "about='It stands.', requires=('lobby_two',)")
    write("lobby_two")
    assert [*extensions.turn_on(["porch_one", "lobby_two"])] == ["lobby_two", "porch_one"]
    with pytest.raises(
        InvalidSetting, match=r'"porch_one" requires "lobby_two", which is off.* make add NAME=lobby_two'
    ):
        extensions.turn_on(["porch_one"])


def test_two_that_require_each_other_are_told_as_a_circle(write: Write) -> None:
    write("east_one", "about='It turns.', requires=('west_one',)")
    write("west_one", "about='It turns.', requires=('east_one',)")
    with pytest.raises(InvalidSetting, match=r"require each other.*east_one"):
        extensions.turn_on(["east_one", "west_one"])


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise RuntimeError('no lift')", "failed with RuntimeError: no lift.*make remove NAME=attic"),
        ("", "extension = Extension"),
    ],
)
def test_a_folder_that_declares_nothing_or_raises_is_told(write: Write, code: str, told: str) -> None:
    name = f"attic_{'raises' if code else 'empty'}"
    write(name, __init__=code)
    with pytest.raises(InvalidSetting, match=told):
        extensions.find(name)


@pytest.mark.parametrize(
    ("text", "environment", "names"),
    [
        ('extensions = ["a", "b"]', {}, ("a", "b")),
        ("", {}, ()),
        ('extensions = ["a"]\n[profiles.test]\nextensions = ["b"]', {"SIXPLY_PROFILE": "test"}, ("b",)),
        ('extensions = ["a"]\n[profiles.test.serving]', {"SIXPLY_PROFILE": "test"}, ("a",)),
        ('extensions = ["a"]', {"SIXPLY__EXTENSIONS": '["c"]'}, ("c",)),
        ('extensions = ["a"]', {"SIXPLY__EXTENSIONS": "[c"}, ("a",)),
        ("extensions = 3", {}, ()),
        ("extensions = [", {}, ()),
    ],
)
def test_the_list_is_read_alone_from_file_profile_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, environment: dict[str, str], names: tuple[str, ...]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert extensions.read_names(stack(tmp_path, text)) == names
    assert extensions.read_names(tmp_path / "none.toml") == tuple(names if names == ("c",) else ())


def test_a_section_is_checked_by_its_own_class_in_file_profile_and_environment(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("hall_one", "about='It is wide.', settings='extensions.hall_one.settings:Hall'", settings=SECTION)
    on = 'extensions = ["hall_one"]\n'
    of_file = load(stack(tmp_path, on + "[hall_one]\ndoors = 3\n[profiles.wide.hall_one]\ndoors = 9"))
    assert of_file.settings.hall_one.doors == 3  # type: ignore[attr-defined]
    assert ("hall_one.doors", "3", "stack.toml") in list(of_file.rows())
    assert load(tmp_path / "stack.toml", profile="wide").settings.hall_one.doors == 9  # type: ignore[attr-defined]
    monkeypatch.setenv("SIXPLY__HALL_ONE__DOORS", "4")
    assert load(tmp_path / "stack.toml").settings.hall_one.doors == 4  # type: ignore[attr-defined]
    monkeypatch.delenv("SIXPLY__HALL_ONE__DOORS")
    with pytest.raises(UnknownSetting, match=r"hall_one\.dors.*doors"):
        load(stack(tmp_path, on + "[hall_one]\ndors = 3"))
    with pytest.raises(InvalidSetting, match=r"hall_one\.doors.*found 'many'"):
        load(stack(tmp_path, on + "[hall_one]\ndoors = 'many'"))


def test_a_section_that_is_set_while_its_extension_is_off_is_told_with_the_command(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("hall_two", "about='It is wide.', settings='extensions.hall_two.settings:Hall'", settings=SECTION)
    write("lobby_three")
    told = '"hall_two" is off. Turn it on: make add NAME=hall_two'
    with pytest.raises(UnknownSetting, match=told):
        load(stack(tmp_path, "[hall_two]\ndoors = 3"))
    with pytest.raises(UnknownSetting, match="has no settings"):
        load(stack(tmp_path, 'extensions = ["lobby_three"]\n[lobby_three]\ndoors = 3'))
    monkeypatch.setenv("SIXPLY__HALL_TWO__DOORS", "4")
    with pytest.raises(UnknownSetting, match=told):
        load(stack(tmp_path, ""))


def test_two_stacks_in_one_process_have_the_sections_of_their_own(write: Write, tmp_path: Path) -> None:
    write("hall_three", "about='It is wide.', settings='extensions.hall_three.settings:Hall'", settings=SECTION)
    wide = load(stack(tmp_path, 'extensions = ["hall_three"]')).settings
    plain = load(stack(tmp_path, "")).settings
    assert (hasattr(wide, "hall_three"), hasattr(plain, "hall_three")) == (True, False)
    assert load(stack(tmp_path, 'extensions = ["hall_three"]')).settings == wide
    for settings in (wide, plain):  # as a worker of the server gets them
        assert pickle.loads(pickle.dumps(settings)) == settings


def test_an_extension_is_not_named_like_a_section_of_the_core(write: Write, tmp_path: Path) -> None:
    write("serving", "about='It clashes.', settings='extensions.serving.settings:Hall'", settings=SECTION)
    with pytest.raises(InvalidSetting, match='named "serving", as a section of the core'):
        load(stack(tmp_path, 'extensions = ["serving"]'))


def test_a_command_of_one_that_is_off_is_told_with_its_extension(write: Write) -> None:
    command = "Command(name='dance', group='Halls', about='Dance.', call='extensions.hall_four.dance:dance')"
    write("hall_four", f"about='It is wide.', commands=({command},)")
    assert 'comes with the extension "hall_four"' in extensions.explain_unknown_command("dance")
    assert extensions.explain_unknown_command("prance") == ""


PARTS = "about='It counts.', parts=(('retrieval.chunker/{0}', 'extensions.{0}.chunker'),)"
CHUNKER = """
from foundation.settings import Section


class Options(Section):
    size: int = 2


def build(options, context):
    return options.size
"""


def test_a_document_of_an_extension_that_is_off_is_refused_with_its_name(write: Write) -> None:
    reads = "class Score:\n    suffixes = ('.score',)\n\n\ndef build(limits):\n    return Score()\n"
    for name, text in (("hall_six", reads), ("hall_seven", "import no_such_package")):
        write(
            name, f"about='It sings.', parts=(('retrieval.parsers/{name}', 'extensions.{name}.parser'),)", parser=text
        )
    parsing._suffixes_of_extensions.cache_clear()
    with pytest.raises(
        DocumentRefused, match=r'"aria.score" is read by the extension "hall_six", which is off.*NAME=hall_six'
    ):
        parsing.parser_for("aria.score", parsing.CORE)
    with pytest.raises(DocumentRefused, match=r'found suffix ".film"'):
        parsing.parser_for("aria.film", parsing.CORE)
    parsing._suffixes_of_extensions.cache_clear()


def test_an_adapter_of_an_extension_stands_beside_those_of_the_folder(write: Write, tmp_path: Path) -> None:
    write("counter_one", PARTS.format("counter_one"), chunker=CHUNKER)
    assert {"counter_one", "structure"} < {*components.available("retrieval.chunker")}
    part = Part.model_validate({"use": "counter_one", "size": 3})
    assert components.load("retrieval.chunker", part, components.Context(data_dir=tmp_path)) == 3
    assert components.options_of("retrieval.chunker", "counter_one").model_fields.keys() == {"size"}  # type: ignore[union-attr]
    with pytest.raises(UnknownPart, match=r'No adapter "counter_two".*Did you mean "counter_one"'):
        components.options_of("retrieval.chunker", "counter_two")


def test_an_adapter_of_an_extension_that_is_off_is_told_with_the_command(write: Write, tmp_path: Path) -> None:
    write("counter_three", PARTS.format("counter_three"), chunker=CHUNKER)
    chosen = '[retrieval.chunker]\nuse = "counter_three"'
    with pytest.raises(UnknownPart, match=r'\[retrieval.chunker\] use = "counter_three" .*make add NAME=counter_three'):
        load(stack(tmp_path, chosen))
    assert load(stack(tmp_path, f'extensions = ["counter_three"]\n{chosen}')).settings.retrieval.chunker.use


def test_an_adapter_named_like_one_of_the_folder_is_told(write: Write) -> None:
    write("counter_four", "about='It counts.', parts=(('retrieval.chunker/fixed', 'extensions.counter_four.chunker'),)")
    with pytest.raises(
        InvalidSetting, match=r'"counter_four" brings .* as "fixed", and so does retrieval.chunkers.fixed'
    ):
        components.available("retrieval.chunker")


def test_every_extension_that_is_here_declares_what_it_is() -> None:
    for name in extensions.installed():
        about = extensions.find(name).about
        assert about.endswith(".")
        assert about.count(". ") == 0
        for reference in (extensions.find(name).settings, extensions.find(name).stores, extensions.find(name).plug):
            assert not reference or extensions.resolve(reference) is not None, reference
        for _, module in extensions.find(name).parts:
            assert import_module(module)
        for command in extensions.find(name).commands:
            assert extensions.resolve(command.call) is not None, command.call


def test_the_list_is_read_by_name_alone_so_a_broken_one_breaks_no_help(write: Write) -> None:
    from serving.cli.main import list_commands

    write("attic_three", __init__="raise RuntimeError")
    assert list_commands(["attic_three", "nobody"]).keys()


def test_two_commands_of_one_name_are_told(write: Write) -> None:
    from serving.cli.main import list_commands

    command = "Command(name='ask', group='Halls', about='Ask.', call='extensions.hall_five.ask:ask')"
    write("hall_five", f"about='It is wide.', commands=({command},)")
    with pytest.raises(SixplyError, match='two commands "ask", one of them of the extension "hall_five"'):
        list_commands(["hall_five"])
