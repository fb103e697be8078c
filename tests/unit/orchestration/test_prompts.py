"""Prompts: what is put before a model and what people read, ours or yours, for all tenants or for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from langchain_core.messages import BaseMessage

from foundation.errors import InvalidSetting
from foundation.types import Principal
from orchestration.prompts.files import FOLDER, open_prompts, read_prompt
from orchestration.prompts.frames import answer_from
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer
from orchestration.settings import PromptSettings
from tests.doubles.orchestration import NORTH, SOUTH, World
from tests.doubles.strong import calls, strong

PASSAGES = ("The parcel weighs at most 30 kilograms.", "Parcels are kept for a week.")


def written(messages: list[BaseMessage]) -> str:
    return "\n".join(message.text for message in messages)


def write(folder: Path, name: str, text: str, *, version: str = "1") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.md").write_text(f"---\nname: {name}\nversion: {version}\n---\n{text}\n", encoding="utf-8")
    return folder


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "data")
    yield world
    world.close()


def test_two_questions_over_the_same_passages_differ_only_at_the_end() -> None:
    one, other = (
        written(answer_from(read_prompt("answer"), question, PASSAGES)) for question in ("How heavy?", "Until when?")
    )
    assert one.removesuffix("How heavy?") == other.removesuffix("Until when?")
    assert all(passage in one for passage in PASSAGES)


def test_a_prompt_begins_with_words_that_never_change_and_ends_with_the_question() -> None:
    answering = read_prompt("answer")
    one, other = answer_from(answering, "q?", ["a"]), answer_from(answering, "r?", ["b", "c"])
    assert one[0] == other[0]
    assert one[-1].text.endswith("q?")


async def test_a_persona_stands_in_its_file_and_a_tenant_may_have_its_own(world: World, tmp_path: Path) -> None:
    everybody = write(tmp_path / "prompts", "persona", "You work for a carrier.")
    north = write(tmp_path / "north", "persona", "Du bist die Stimme des Nordens.", version="4")
    world.prompts = open_prompts(
        PromptSettings.model_validate({"folder": everybody, "tenants": {"north": {"folder": north}}})
    )

    async def instructions(person: Principal) -> str:
        world.chat = strong(calls(("search_documents", {"query": "weight of a parcel"})), "At most 30 kilograms [1].")
        await answer(world.agent("tool_calling"), AnswerRequest(question="How heavy may a parcel be?"), person)
        return world.chat.seen[-1][0].text

    north_reads, south_reads = await instructions(NORTH), await instructions(SOUTH)
    assert north_reads.startswith("Du bist die Stimme des Nordens.\n\nDocuments\n")
    assert south_reads.startswith("You work for a carrier.\n\nDocuments\n")
    assert "Answer in the language of the question." in north_reads, "what it has no file for is ours"
    assert world.prompts.labels()["north/persona"].startswith("persona@4 ")


async def test_what_people_read_where_no_model_writes_is_a_file_as_well(world: World, tmp_path: Path) -> None:
    folder = write(tmp_path / "prompts", "nothing_found", "No lo encontré.")
    world.prompts = open_prompts(PromptSettings(folder=folder))
    nothing = await answer(world.agent("quoting"), AnswerRequest(question="Which whale sings lowest?"), NORTH)
    assert (nothing.status, nothing.text) == ("abstained", "No lo encontré.")


def test_other_braces_than_those_of_a_prompt_stay_as_they_are(tmp_path: Path) -> None:
    folder = write(tmp_path / "prompts", "client", 'As {"json": 1}:\n{instructions}')
    prompt = open_prompts(PromptSettings(folder=folder)).of("north")["client"]
    assert prompt.fill(instructions="- {wrong}") == 'As {"json": 1}:\n- {wrong}'


def test_an_extension_brings_prompts_of_its_own_and_none_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "brought_one", "moon", "Speak of the moon.")
    write(tmp_path / "brought_two", "persona", "I am another.")
    monkeypatch.syspath_prepend(tmp_path)
    prompts = open_prompts(PromptSettings(folder=write(tmp_path / "own", "moon", "Speak of the sun.")), ["brought_one"])
    assert prompts.of("north")["moon"].text == "Speak of the sun."
    with pytest.raises(InvalidSetting, match=r"persona\.md has the name of another prompt"):
        open_prompts(PromptSettings(), ["brought_two"])


def test_every_bundled_prompt_has_a_head_and_says_what_it_was_measured_on() -> None:
    for name in open_prompts(PromptSettings()).everybody:
        assert "\nmeasured_on: " in (FOLDER / f"{name}.md").read_text(encoding="utf-8")


HEAD = "---\nname: persona\nversion: 2\n---"


def test_a_prompt_saved_by_a_windows_editor_is_read(tmp_path: Path) -> None:
    (tmp_path / "persona.md").write_bytes(f"\ufeff{HEAD}\nI am Ada.\n".replace("\n", "\r\n").encode())
    assert open_prompts(PromptSettings(folder=tmp_path)).of("north")["persona"].text == "I am Ada."


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda _: None, r"folder names .*prompts, and there is no such folder\. Make it, with a file for"),
        (
            lambda folder: write(folder, "personna", "x"),
            r'personna\.md replaces no prompt.*Did you mean "persona"',
        ),
        (
            lambda folder: write(folder, "client", "Again."),
            r"client\.md lacks \{instructions\}.*has \{instructions\} names",
        ),
        (
            lambda folder: write(folder, "persona", "I am {nobody}."),
            r"persona\.md has \{nobody\}.*has no names in braces",
        ),
        (
            lambda folder: write(folder, "persona", "x").joinpath("persona.md").write_text("You are nice."),
            r"persona\.md must begin with ---, name: persona, version: \.\.\., and ---.*Found: 'You are nice\.'",
        ),
        (
            lambda folder: write(folder, "persona", "x").joinpath("persona.md").write_text(f"Hello.\n{HEAD}\nHi."),
            r"persona\.md must begin with ---.*Found: 'Hello",
        ),
        (lambda folder: write(folder, "nothing_found", " \n"), r"nothing_found\.md must begin.*a text must follow"),
        (
            lambda folder: write(folder, "persona", "x").joinpath("persona.md").write_bytes(b"Caf\xe9"),
            r"persona\.md cannot be read as UTF-8.*Save it as",
        ),
        (
            lambda folder: (folder / "persona.md").mkdir(parents=True),
            r"persona\.md cannot be read as UTF-8: .*directory",
        ),
    ],
)
def test_a_prompt_that_does_not_fit_stops_the_start_and_says_why(
    tmp_path: Path, make: Callable[[Path], object], says: str
) -> None:
    make(tmp_path / "prompts")
    for settings in ({"folder": tmp_path / "prompts"}, {"tenants": {"north": {"folder": tmp_path / "prompts"}}}):
        with pytest.raises(InvalidSetting, match=says):
            open_prompts(PromptSettings.model_validate(settings))
