"""Two replicas with a data folder each and one PostgreSQL: what is asked for on one is decided on the other, and happens once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from pydantic import SecretStr

from extensions.kill_switches import command as switches
from extensions.kill_switches.stops import Stops
from extensions.postgres.claiming import ClaimingAgent
from extensions.postgres.plug import check_records
from extensions.postgres.records import Options, SharedRecords, SharedTables
from foundation.clock import SystemClock
from foundation.errors import Conflict, Forbidden, Gone, NotFound, PersonErased, Stopped, StoreUnavailable
from foundation.settings import FoundationSettings, Part
from foundation.stores.erasures import Erasures, mark_of
from foundation.types import Principal
from orchestration.actions import Approval, Decision
from orchestration.effects.approvals import SAME_REQUEST
from orchestration.effects.effect_log import SqliteEffects
from orchestration.events import Answer
from orchestration.requests import AnswerRequest
from orchestration.run.answering import answer, resume
from serving.cli.govern import erasure
from serving.settings import Settings
from tests import services
from tests.doubles.effects_child import CUSTOMER, QUESTION, replica
from tests.doubles.effects_child import LEAD as DESK_LEAD
from tests.doubles.orchestration import AGENTS, LEAD, NORTH, SOUTH_LEAD, World
from tests.faults.test_effects import DONE, Kill, kill, refunds

__all__ = ["kill"]

EVERYBODY = Principal(subject="", tenant="")
SEND = AnswerRequest(question="Please send parcel P-123 now")
Replica = Callable[[str], World]
PATIENCE_S = 120
END_OTHERS = (
    "SELECT pg_terminate_backend(pid, 60000) FROM pg_locks WHERE locktype = 'advisory' AND pid != pg_backend_pid()"
)
"""Waits until they have ended: only then are their locks free."""
AT_ONCE = 8
"""Rounds in which both decide at once."""


@pytest.fixture
def shared(tmp_path: Path) -> dict[str, Any]:
    """The database of one test."""
    return services.options("postgres", tmp_path)


def records_in(shared: dict[str, Any]) -> SharedRecords:
    return SharedRecords(Options(dsn=SecretStr(shared["dsn"]), namespace=shared["namespace"]))


@pytest.fixture
def replica_of(tmp_path: Path, shared: dict[str, Any], request: pytest.FixtureRequest) -> Iterator[Replica]:
    """Open a replica of that name, with its own data folder and pool."""
    opened: list[World] = []

    def open_one(name: str, agent: str = getattr(request, "param", "graph")) -> World:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        opened.append(World(folder, checkpoints="postgres", shared=(records_in(shared), shared), agents=agent))
        opened[-1].wrap = lambda inner, world=opened[-1]: ClaimingAgent(inner, world.approvals, world.shared[0])
        return opened[-1]

    yield open_one
    for world in opened:
        world.close()


def decision_on(waiting: Answer, *, approve: bool = True) -> Decision:
    assert waiting.approval is not None
    return Decision(approval_id=waiting.approval.approval_id, approve=approve)


async def go_on(world: World, decision: Decision) -> Answer:
    """Decide again what a killed replica had decided, as soon as the server has noticed its end."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await resume(world.agent(), decision, DESK_LEAD)
            except Conflict as error:
                if "being carried out" not in str(error):
                    raise


@pytest.mark.parametrize("replica_of", AGENTS, indirect=True)
async def test_what_waits_on_one_replica_is_listed_and_decided_on_another_and_happens_once(replica_of: Replica) -> None:
    here, there = replica_of("here"), replica_of("there")
    waiting = await answer(here.agent(), SEND, NORTH)
    pending = await there.approvals.pending("north")
    assert [one.approval_id for one in pending] == [decision_on(waiting).approval_id]
    assert await there.approvals.pending("south") == []
    done = await resume(there.agent(), decision_on(waiting), LEAD)
    assert (done.status, len(there.depot.sent), len(here.depot.sent)) == ("answered", 1, 0)
    with pytest.raises(Conflict):
        await resume(here.agent(), decision_on(waiting), LEAD)
    assert await here.approvals.pending("north") == []
    assert [one.decided_by for one in await here.approvals.decided("north", limit=5)] == [LEAD.subject]


@pytest.mark.parametrize("replica_of", ["graph", "tool_calling"], indirect=True)
async def test_two_replicas_that_approve_at_once_make_one_effect(replica_of: Replica) -> None:
    worlds = [replica_of("here"), replica_of("there")]
    agents = [world.agent() for world in worlds]
    for n in range(AT_ONCE):
        for world in worlds:
            world.clock.time += SAME_REQUEST  # else it is the request of the round before
        waiting = await answer(agents[n % 2], SEND, NORTH)
        decisions = [resume(agent, decision_on(waiting), LEAD) for agent in agents for _ in range(2)]
        outcomes = await asyncio.gather(*decisions, return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Answer", *["Conflict"] * 3]
        assert sum(len(world.depot.sent) for world in worlds) == n + 1


async def test_of_an_approval_and_a_rejection_at_once_one_counts(replica_of: Replica) -> None:
    worlds = [replica_of("here"), replica_of("there")]
    for _ in range(AT_ONCE):
        for world in worlds:
            world.clock.time += SAME_REQUEST
        waiting = await answer(worlds[0].agent(), SEND, NORTH)
        before = sum(len(world.depot.sent) for world in worlds)
        decisions = (resume(world.agent(), decision_on(waiting, approve=not n), LEAD) for n, world in enumerate(worlds))
        outcomes = await asyncio.gather(*decisions, return_exceptions=True)
        stored = await worlds[0].approvals.get(decision_on(waiting).approval_id, "north")
        assert stored
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Answer", "Conflict"]
        sent = sum(len(world.depot.sent) for world in worlds) - before
        assert sent == (stored.status == "approved")


async def test_who_read_an_approval_before_it_was_decided_elsewhere_hears_that_it_was(
    replica_of: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = replica_of("here"), replica_of("there")
    waiting = await answer(here.agent(), SEND, NORTH)
    get = there.approvals.get

    async def read_early(approval_id: str, tenant: str) -> Approval | None:
        stored = await get(approval_id, tenant)
        monkeypatch.setattr(there.approvals, "get", get)
        await resume(here.agent(), decision_on(waiting), LEAD)
        return stored

    monkeypatch.setattr(there.approvals, "get", read_early)
    with pytest.raises(Conflict, match="was approved by"):
        await resume(there.agent(), decision_on(waiting), LEAD)
    assert (len(here.depot.sent), len(there.depot.sent)) == (1, 0)


async def test_four_eyes_borders_of_tenants_and_times_hold_between_replicas(replica_of: Replica) -> None:
    here, there = replica_of("here"), replica_of("there")
    waiting = await answer(here.agent(), SEND, NORTH)
    with pytest.raises(Forbidden):
        await resume(there.agent(), decision_on(waiting), NORTH)
    with pytest.raises(NotFound):
        await resume(there.agent(), decision_on(waiting), SOUTH_LEAD)
    themselves = NORTH.__class__(subject=NORTH.subject, tenant=NORTH.tenant, roles=LEAD.roles)
    with pytest.raises(Forbidden, match="four_eyes"):
        await resume(there.agent(), decision_on(waiting), themselves)
    there.clock.forward(hours=25)
    with pytest.raises(Gone):
        await resume(there.agent(), decision_on(waiting), LEAD)
    with pytest.raises(Gone):
        await resume(here.agent(), decision_on(waiting), LEAD)
    assert here.depot.sent == there.depot.sent == []


@pytest.mark.parametrize(
    ("point", "already_done"), {"decided": 0, "before_effect": 0, "after_effect": 1, "after_ledger": 1}.items()
)
async def test_another_replica_goes_on_where_one_was_killed(
    tmp_path: Path, shared: dict[str, Any], kill: Kill, point: str, already_done: int
) -> None:
    folders = [tmp_path / name for name in ("here", "there")]
    for folder in folders:
        folder.mkdir()
    here, there = (partial(replica, folder, **shared) for folder in folders)
    with closing(here()) as asked:
        waiting = await answer(asked.agent(), AnswerRequest(question=QUESTION), CUSTOMER)
    order = {"id": decision_on(waiting).approval_id, "replica": shared}
    await asyncio.to_thread(kill, folders[0], "approve", point, **order)
    assert refunds(tmp_path) == already_done
    with closing(there()) as world:
        done = await go_on(world, decision_on(waiting))
        assert (done.status, done.text, refunds(tmp_path)) == ("answered", DONE, 1)
        with pytest.raises(Conflict):
            await resume(world.agent(), decision_on(waiting), DESK_LEAD)


async def test_an_effect_of_unknown_fate_is_not_tried_again_by_another_replica(
    tmp_path: Path, shared: dict[str, Any], kill: Kill
) -> None:
    folders = [tmp_path / name for name in ("here", "there")]
    for folder in folders:
        folder.mkdir()
    with closing(replica(folders[0], **shared, idempotent=False)) as asked:
        waiting = await answer(asked.agent(), AnswerRequest(question=QUESTION), CUSTOMER)
    order = {"id": decision_on(waiting).approval_id, "replica": shared, "idempotent": False}
    await asyncio.to_thread(kill, folders[0], "approve", "after_effect", **order)
    with closing(replica(folders[1], **shared, idempotent=False)) as world:
        done = await go_on(world, decision_on(waiting))
    assert (done.status, refunds(tmp_path)) == ("failed", 1)
    assert "A person must look" in done.text


def test_a_stop_on_one_replica_stops_all_and_is_lifted_on_any(shared: dict[str, Any], tmp_path: Path) -> None:
    with closing(records_in(shared)) as files, closing(records_in(shared)) as others:
        here = Stops(tmp_path / "here" / "stops.json", SystemClock(), files)
        there = Stops(tmp_path / "there" / "stops.json", SystemClock(), others)
        here.add("effects", by="ops", reason="a leak")
        wait_until(lambda: [stop.reason for stop in there.list()] == ["a leak"])
        with pytest.raises(Stopped, match="a leak"):
            there.demand("effects")
        there.add("tenant", "north", by="ops", reason="a bill")
        there.lift("effects")
        wait_until(lambda: [str(stop) for stop in here.list()] == ["tenant:north"])
        there.path.write_bytes(b"\xff damaged")
        wait_until(lambda: there.path.read_bytes().rstrip() == here.path.read_bytes().rstrip())
        here.add("model", "m", by="ops", reason="odd words")
        wait_until(lambda: there.list() == here.list())
        begun_later = Stops(tmp_path / "later" / "stops.json", SystemClock(), files)
        assert begun_later.list() == here.list() == there.list()


def test_a_stop_beside_a_database_that_is_down_holds_where_it_was_made_and_is_told_later(
    shared: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(records_in(shared)) as files:
        here = Stops(tmp_path / "here" / "stops.json", SystemClock(), files)
        with monkeypatch.context() as down:
            refused = StoreUnavailable("The PostgreSQL database is down.")
            for place, name in ((SharedRecords, "claim"), (SharedTables, "reading"), (SharedTables, "transaction")):
                down.setattr(place, name, Mock(side_effect=refused))
            here.add("all", by="ops", reason="a leak")
            assert here.unwritten is refused
            with pytest.raises(Stopped, match="a leak"):
                here.demand("model", "any")
            with pytest.raises(StoreUnavailable):
                here.lift("all")
            assert [str(stop) for stop in here.list()] == ["all"]
        assert here.write_pending()
        there = Stops(tmp_path / "there" / "stops.json", SystemClock(), files)
        assert [stop.reason for stop in there.list()] == ["a leak"]


def test_the_command_to_stop_says_what_still_works_while_the_database_is_down(tmp_path: Path) -> None:
    stack = tmp_path / "stack.toml"
    records = '[foundation.records]\nuse = "postgres"\ndsn = "host=/nowhere user=sixply"'
    stack.write_text(
        f'extensions = ["postgres"]\n[foundation]\ndata_dir = "{tmp_path}/var"\n{records}\n', encoding="utf-8"
    )
    with pytest.raises(StoreUnavailable, match=r"^Nothing was stopped\..* PUT /v1/stops/effects "):
        switches.stop("effects", reason="a leak", stack=stack)
    assert not (tmp_path / "var" / "stops.json").exists()


def wait_until(seen: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not seen():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_claim_is_of_one_replica_and_ends_with_its_connection(shared: dict[str, Any]) -> None:
    here, there = records_in(shared), records_in(shared)
    with here.claim("a") as mine, there.claim("a") as theirs, there.claim("b") as another:
        assert (mine, theirs, another) == (True, False, True)
    held = here.claim("a")
    assert held.__enter__()
    with there.notes.transaction() as connection:  # as a killed process or a restart of the server would
        connection.execute(END_OTHERS)

    def is_free() -> bool:
        with there.claim("a") as free:
            return free

    wait_until(is_free)
    held.__exit__(None, None, None)
    here.close()
    there.close()


def test_a_claim_that_a_restart_ended_is_taken_again_once_no_other_replica_holds_it(shared: dict[str, Any]) -> None:
    with closing(records_in(shared)) as here, closing(records_in(shared)) as there:
        with here.claim("a") as mine:
            assert mine
            with there.notes.transaction() as connection:
                connection.execute(END_OTHERS)
            with there.claim("a") as theirs, here.claim(""):
                assert theirs
            with here.claim(""), there.claim("a") as theirs:
                assert not theirs
        with here.claim(""), there.claim("a") as theirs:
            assert theirs, "what was released is not taken again"


def test_doctor_warns_where_each_replica_would_have_its_own_approvals() -> None:
    tools = {"tools": [{"use": "tests.doubles.desk:build"}]}
    several = Settings(retrieval={"ledger": {"use": "postgres"}}, orchestration=tools)  # type: ignore[arg-type]
    assert "[foundation.records]" in check_records(several).advice
    assert check_records(Settings(orchestration=tools)).advice == ""  # type: ignore[arg-type]
    shared = several.foundation.model_copy(update={"records": Part(use="postgres")})
    assert check_records(several.model_copy(update={"foundation": shared})).advice == ""


def test_a_database_that_is_down_is_named_and_nothing_is_opened() -> None:
    nowhere = {"dsn": "host=/nowhere user=sixply", "namespace": "none"}
    with pytest.raises(StoreUnavailable, match="Check that the server runs"):
        SqliteEffects(Path(), records_in(nowhere))


async def test_who_is_erased_on_one_replica_is_gone_from_all_and_written_by_none(
    tmp_path: Path, shared: dict[str, Any], replica_of: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "NOTICED_S", 0.0)
    here, there = replica_of("here"), replica_of("there")
    there_notes = Erasures(there.folder)
    waiting = await answer(here.agent(), SEND, NORTH)
    assert await here.effects.begin("of theirs", "send_parcel", "hash", NORTH) is None
    records = Part.model_validate({"use": "postgres", **shared})
    foundation = FoundationSettings(data_dir=here.folder, records=records)
    settings = Settings(foundation=foundation, orchestration={"checkpoints": {"use": "postgres", **shared}})  # type: ignore[arg-type]
    erased = asyncio.create_task(erasure._erase(settings, NORTH, here.clock))  # in a context where nobody acts
    with there_notes.acting_for(NORTH):
        report = await erased
        gone = {row.store: row.count for row in report.erased}
        assert (gone["approvals"], gone["effects"]) == (1, 1)
        with pytest.raises(PersonErased):
            await there.approvals.request(_approval_like(waiting))
        with pytest.raises(PersonErased):
            await there.effects.begin("another", "send_parcel", "hash", NORTH)
        await there.effects.finish("of theirs", {"tool": "send_parcel", "content": "words of theirs"})
    held = await there.effects.begin("of theirs", "send_parcel", "", EVERYBODY)
    assert "words of theirs" not in str(held)
    assert await there.approvals.pending("north") == []
    assert await there.effects.keys_of(NORTH) == []
    with closing(records_in(shared)) as files:
        Erasures(there.folder, files)
    with there_notes.acting_for(NORTH):
        assert await there.approvals.request(_approval_like(waiting))


def test_an_erasure_that_was_cut_off_keeps_every_replica_from_beginning(shared: dict[str, Any], tmp_path: Path) -> None:
    with closing(records_in(shared)) as files:
        here, there = (Erasures(tmp_path / name, files) for name in ("here", "there"))
        with pytest.raises(KeyboardInterrupt), here.erasing(NORTH):
            raise KeyboardInterrupt
        there = Erasures(there.path.parent, files)
        with pytest.raises(PersonErased, match="being erased"), there.acting_for(NORTH):
            pass
        with there.erasing(NORTH) as before:
            assert before.running
        here = Erasures(here.path.parent, files)
    with here.acting_for(NORTH):
        assert here.total() == there.total() == 2


def test_an_erasure_whose_claim_a_restart_of_the_server_ends_overwrites_no_note_of_another_replica(
    shared: dict[str, Any], tmp_path: Path
) -> None:
    with closing(records_in(shared)) as here_files, closing(records_in(shared)) as there_files:
        here = Erasures(tmp_path / "here" / "erased.json", here_files)
        there = Erasures(tmp_path / "there" / "erased.json", there_files)
        with pytest.raises(StoreUnavailable, match="do it again"), here.erasing(NORTH):  # noqa: PT012 - all of it is the case
            with there_files.notes.transaction() as connection:
                connection.execute(END_OTHERS)
            with there.erasing(SOUTH_LEAD):
                pass
        with there.erasing(NORTH) as before:
            assert before.running, "what was not written to the end is to be repeated"
        with here.erasing(DESK_LEAD):
            pass
        assert here.total() == 4
        assert [here.note(mark_of(person)).running for person in (NORTH, SOUTH_LEAD, DESK_LEAD)] == [False] * 3


def _approval_like(waiting: Answer) -> Approval:
    assert waiting.approval is not None
    return waiting.approval
