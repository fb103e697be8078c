"""Places for running answers, the queue, and saying no."""

import asyncio

import pytest
from langchain_core.language_models import FakeListChatModel

from foundation.errors import Overloaded, ShuttingDown
from foundation.types import Principal
from serving.access import admission as admission_module
from serving.access.admission import Admission, FairTurns, answers_at_once

ANN = Principal("ann", "good")
BEN, EVE, MAL = Principal("ben", "good"), Principal("eve", "evil"), Principal("mal", "evil")


async def hold(admission: Admission, until: asyncio.Event, caller: Principal = ANN) -> None:
    async with admission.place(caller):
        await until.wait()


async def crowd(admission: Admission, until: asyncio.Event, *callers: Principal) -> list[asyncio.Task[None]]:
    """Work of these callers, which come one after the other."""
    tasks = [asyncio.create_task(hold(admission, until, caller)) for caller in callers]
    await asyncio.sleep(0)
    return tasks


async def test_what_is_beyond_the_places_and_the_queue_is_told_to_come_back() -> None:
    admission, until = Admission(concurrent=2, queued=1), asyncio.Event()
    tasks = [asyncio.create_task(hold(admission, until)) for _ in range(3)]
    await asyncio.sleep(0)
    assert (admission.running, admission.waiting) == (2, 1)
    with pytest.raises(Overloaded) as refused:
        async with admission.place(ANN):
            pass
    assert refused.value.retry_after_s
    until.set()
    await asyncio.gather(*tasks)
    assert (admission.running, admission.waiting) == (0, 0)


async def test_places_come_back_after_errors_and_cancellation() -> None:
    admission = Admission(concurrent=1, queued=4)
    with pytest.raises(RuntimeError):
        async with admission.place(ANN):
            raise RuntimeError
    held = asyncio.create_task(hold(admission, asyncio.Event()))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(hold(admission, asyncio.Event()))
    await asyncio.sleep(0)
    for task in (waiting, held):
        task.cancel()
    await asyncio.gather(held, waiting, return_exceptions=True)
    async with admission.place(ANN):
        assert (admission.running, admission.waiting) == (1, 0)


async def test_no_queue_means_no_waiting() -> None:
    admission = Admission(concurrent=1, queued=0)
    async with admission.place(ANN):
        with pytest.raises(Overloaded):
            async with admission.place(ANN):
                pass


async def test_a_waiting_caller_who_leaves_keeps_no_place_even_in_the_moment_of_his_turn() -> None:
    admission, until = Admission(concurrent=1, queued=2), asyncio.Event()
    held = asyncio.create_task(hold(admission, until))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(hold(admission, asyncio.Event())) for _ in range(2)]
    await asyncio.sleep(0)
    until.set()
    await held  # its place has been given on, and nobody has run since
    waiting[0].cancel()
    waiting[1].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert (admission.running, admission.waiting) == (0, 0)


async def test_all_who_wait_can_be_turned_away_while_what_runs_goes_on() -> None:
    admission, until = Admission(concurrent=1, queued=2), asyncio.Event()
    held = asyncio.create_task(hold(admission, until))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(hold(admission, asyncio.Event())) for _ in range(2)]
    await asyncio.sleep(0)
    admission.turn_away(ShuttingDown("over"))
    waiting[0].cancel()  # in the moment in which it is turned away
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in ended] == [asyncio.CancelledError, ShuttingDown]
    assert (admission.running, admission.waiting) == (1, 0)
    until.set()
    await held
    assert admission.running == 0


class Watch:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


async def together(admission: Admission, watch: Watch, many: int, seconds: float) -> None:
    """So many pieces of work at once, each of which takes `seconds`."""
    until = asyncio.Event()
    tasks = [asyncio.create_task(hold(admission, until)) for _ in range(many)]
    await asyncio.sleep(0)
    watch.s += seconds
    until.set()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_fewer_places_are_given_while_work_gets_slower_in_company_and_more_again_when_not() -> None:
    watch = Watch()
    admission = Admission(concurrent=8, queued=4, now=watch)
    for _ in range(5):
        await together(admission, watch, 1, 1.0)
    for _ in range(20):
        await together(admission, watch, admission.limit, 8.0)
    assert admission.limit == 2
    for _ in range(60):
        await together(admission, watch, admission.limit, 1.0)
    assert admission.limit == 8


async def test_one_slow_burst_takes_a_share_of_the_places_and_not_all_of_them() -> None:
    watch = Watch()
    admission = Admission(concurrent=1000, queued=500, now=watch)
    await together(admission, watch, 1, 1.0)
    await together(admission, watch, 1000, 30.0)
    assert admission.limit == 700
    await together(admission, watch, 700, 30.0)
    assert admission.limit == pytest.approx(490, abs=1)


async def test_the_time_to_come_back_follows_from_what_is_here_and_how_long_it_usually_takes() -> None:
    watch = Watch()
    admission, until = Admission(concurrent=2, queued=1, now=watch), asyncio.Event()
    await together(admission, watch, 1, 6.0)
    tasks = [asyncio.create_task(hold(admission, until)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        async with admission.place(ANN):
            pass
    assert refused.value.retry_after_s == 9.0
    until.set()
    await asyncio.gather(*tasks)


async def test_a_flood_of_one_tenant_loses_the_last_place_in_the_queue_to_a_newcomer_of_another() -> None:
    admission, until = Admission(concurrent=2, queued=4), asyncio.Event()
    flood = await crowd(admission, until, *[EVE] * 6)
    (newcomer,) = await crowd(admission, until, ANN)
    (refused,), _ = await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
    assert refused is flood[-1]
    assert isinstance(refused.exception(), Overloaded)
    assert (admission.running, admission.waiting, admission.shed) == (2, 4, 1)
    with pytest.raises(Overloaded):  # who has most is told so itself
        async with admission.place(EVE):
            pass
    until.set()
    await asyncio.gather(newcomer, *flood[:-1])
    assert admission.running == 0


async def test_who_holds_every_place_for_long_shuts_nobody_else_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission_module, "HELD_S", 0)
    admission, until, short = Admission(concurrent=2, queued=8), asyncio.Event(), asyncio.Event()
    flood = await crowd(admission, until, *[EVE] * 4)
    newcomers = await crowd(admission, short, ANN, BEN)
    for _ in range(20):
        await asyncio.sleep(0)
    assert (admission.running, admission.waiting) == (3, 3)  # one of them beside the flood
    short.set()
    await asyncio.wait(newcomers, timeout=60)
    assert [task.done() for task in (*newcomers, *flood)] == [True, True, False, False, False, False]
    until.set()
    await asyncio.gather(*flood)
    assert (admission.running, admission.waiting) == (0, 0)


async def test_in_a_tenant_the_flood_of_one_person_loses_to_another_person() -> None:
    admission, until = Admission(concurrent=1, queued=3), asyncio.Event()
    flood = await crowd(admission, until, BEN, BEN, EVE, BEN)
    (newcomer,) = await crowd(admission, until, ANN)
    await asyncio.wait([flood[3]])
    assert isinstance(flood[3].exception(), Overloaded)
    until.set()
    await asyncio.gather(newcomer, *flood[:3])


async def test_many_keys_of_one_tenant_have_one_share() -> None:
    admission, until = Admission(concurrent=1, queued=4), asyncio.Event()
    keys = [Principal(f"eve-{number}", "evil") for number in range(5)]
    flood = await crowd(admission, until, *keys)
    served = await crowd(admission, until, ANN, BEN)
    await asyncio.wait(flood[3:])
    assert [task.done() for task in flood] == [False, False, False, True, True]
    until.set()
    ended = await asyncio.gather(*served, *flood, return_exceptions=True)
    assert [type(error) for error in ended] == [type(None)] * 5 + [Overloaded] * 2


async def test_a_free_turn_goes_to_whoever_has_the_fewest_at_work_by_tenant_and_then_by_person() -> None:
    turns, order = FairTurns(3), list[str]()

    async def work(caller: Principal, until: asyncio.Event) -> None:
        async with turns.turn(caller):
            order.append(caller.subject)
            await until.wait()

    callers = (EVE, EVE, EVE, EVE, MAL, ANN, ANN, BEN)
    ends = [asyncio.Event() for _ in callers]
    tasks = [asyncio.create_task(work(caller, until)) for caller, until in zip(callers, ends, strict=True)]
    await asyncio.sleep(0)
    for ending in (0, 1, 2, 5):
        ends[ending].set()
        await tasks[ending]
        await asyncio.sleep(0)
    # evil has two at work; then each tenant has one, and whose turn was longer ago comes first
    assert order == ["eve", "eve", "eve", "ann", "mal", "ben", "eve"]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (turns.running, turns.waiting) == (0, 0)


def test_a_model_behind_an_address_gets_more_places_than_one_that_uses_this_machine() -> None:
    class Local(FakeListChatModel):
        local: bool = True

    behind, local = FakeListChatModel(responses=["Hello"]), Local(responses=["Hello"])
    assert answers_at_once(None, local) < 50 <= answers_at_once(None, behind)
    assert answers_at_once(3, local) == answers_at_once(3, behind) == 3
