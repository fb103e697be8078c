"""`make replay`: recorded conversations of a real model through the whole tool-calling agent."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from extensions.datasets.reading import Progress
from lab.replay.figures import JUDGED, is_equal, judge, total
from lab.replay.killing import Order, crashes_of, open_nursery, play_with_kills
from lab.replay.player import Player, journal_of
from lab.replay.recording import Conversation, Recording, read_recording
from lab.replay.worlds import ConversationTools, find_world, open_worlds
from observability.evaluation.questions import evenly
from serving.cli import terminal
from serving.settings import Loaded, load
from serving.wiring import open_system

SAMPLE = 20
"""Conversations that are played with kills, where nobody says how many."""
Configure = Callable[[dict[str, object]], Loaded]


@dataclass(frozen=True, kw_only=True)
class Options:
    stack: Path
    data: Path
    world: Path | None = None
    model: str = ""
    approvals: bool = False
    kills: bool = False
    limit: int | None = None
    seed: int = 7
    overrides: Mapping[str, Any] | None = None


def run(options: Options, json: Path | None) -> bool:
    """Whether every conversation went as it was recorded."""
    with terminal.progress() as progress:
        figures = replay(options, progress)
    if not terminal.write_json(json, figures):
        terminal.show_table(["figure", "found", "of"], rows(figures))
        for name in ("first_differences", "shown_otherwise"):
            if figures[name]:
                terminal.show_table([name.replace("_", " ")], [(text,) for text in figures[name]])
    return is_equal(figures)


def replay(options: Options, progress: Progress = lambda *_: None) -> dict[str, Any]:
    """Play the folder's conversations; the figures. Traces, bills and journals stay in `replay/` of the data folder.

    Raises:
        InvalidRequest: the folder is none of recorded conversations, or its tools' world is not whole.
    """
    found = read_recording(options.data)
    world = find_world(found, options.world)
    options = replace(options, world=world)
    recording = read_recording(options.data, tools_from=world)
    make_world, notes = open_worlds(recording, world)
    limit = options.limit or (SAMPLE if options.kills else None)
    chosen = evenly(recording.conversations, limit) if limit else list(recording.conversations)
    player = Player(recording=recording, make_world=make_world, model=options.model, approvals=options.approvals)
    home = load(options.stack, overrides=dict(options.overrides or {}))
    root = home.settings.foundation.data_dir / "replay"
    shutil.rmtree(root, ignore_errors=True)
    play = _play_killed if options.kills else _play_all
    folders = play(options, player, chosen, root, progress)
    played = [_judge(recording, conversation, folder, player) for conversation, folder in folders]
    return {
        "data": options.data.name,
        "model": options.model or "not said",
        "approvals": options.approvals,
        "kill_mode": options.kills,
        "notes": [*recording.notes, *notes],
        "traces_in": str(root),
        **total(played, home.settings.orchestration.budget),
    }


def rows(figures: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The figures as a table, each beside what it should be."""
    of = {
        "finished": "conversations",
        "calls_made_equal": "calls_recorded",
        "results_equal": "results_recorded",
        "answers_equal": "answers_recorded",
        "effects_made": "effects_recorded",
        **{name: f"{name}_of" for name in JUDGED[1:]},
    }
    hidden = {"played", "first_differences", "shown_otherwise", *of.values()} - {"conversations"}
    shown = [name for name in figures if name not in hidden]
    return [(name, str(figures[name]), str(figures[of[name]]) if name in of else "") for name in shown]


def _at(options: Options, folder: Path) -> dict[str, Any]:
    return {**(options.overrides or {}), "foundation": {"data_dir": str(folder)}}


Folders = list[tuple[Conversation, Path]]


def _play_all(options: Options, player: Player, chosen: list[Conversation], root: Path, progress: Progress) -> Folders:

    async def play() -> None:
        with open_system(load(options.stack, overrides=_at(options, root))) as system:
            for done, conversation in enumerate(chosen):
                progress("replay", done, len(chosen))
                journal = journal_of(root, conversation)
                await player.play(conversation, journal, system)
                journal.close()

    asyncio.run(play())
    return [(conversation, root) for conversation in chosen]


def _play_killed(
    options: Options, player: Player, chosen: list[Conversation], root: Path, progress: Progress
) -> Folders:
    """Each conversation in a folder of its own, so that what one process leaves behind is what the next one finds."""
    chance = random.Random(options.seed)
    folders = [(conversation, root / str(number)) for number, conversation in enumerate(chosen)]
    order = Order(
        stack=str(options.stack),
        overrides={},
        recording=str(options.data),
        world=str(options.world or ""),
        model=options.model,
        approvals=options.approvals,
        conversation="",
        folder="",
    )
    with open_nursery() as nursery:
        for done, (conversation, folder) in enumerate(folders):
            progress("replay", done, len(folders))
            journal = journal_of(folder, conversation)
            writing = ConversationTools(player.recording, conversation, journal, player.make_world).writing
            journal.close()
            mine = replace(
                order,
                overrides=_at(options, folder),
                conversation=conversation.conversation_id,
                folder=str(folder),
            )
            play_with_kills(nursery, mine, conversation, crashes_of(conversation, writing, chance))
    return folders


def _judge(recording: Recording, conversation: Conversation, folder: Path, player: Player) -> dict[str, Any]:
    journal = journal_of(folder, conversation)
    tools = ConversationTools(recording, conversation, journal, player.make_world)
    row = judge(conversation, journal, tools, player.make_world)
    journal.close()
    return row
