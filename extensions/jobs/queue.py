"""Background jobs: documents to ingest, questions to answer.

A job is on disk before it is acknowledged, so the next process on the same data folder can continue it. Jobs use at most half of the
places, which persons and tenants share item by item, also with requests. Before each item a job's permission is checked: a kill switch makes the job wait, an invalid
credential ends it. An item during which the process died `ATTEMPTS` times is not started again.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from extensions.jobs.store import ItemStatus, Job, JobItem, JobStore, Kind
from foundation.errors import (
    ComponentError,
    DocumentRefused,
    Forbidden,
    Overloaded,
    RequestError,
    ShuttingDown,
    SixplyError,
    Stopped,
    StoreUnavailable,
)
from foundation.types import EVERY_TENANT, Principal
from orchestration.requests import AnswerRequest
from retrieval.documents import Source
from retrieval.ingest.pipeline import Demand
from retrieval.ingest.preparation import Item
from serving.access.admission import Admission, FairTurns, Work
from serving.access.identity import Permission
from serving.http.errors import InternalError
from serving.http.lifecycle import Lifecycle
from serving.http.streams import collect, explain
from serving.http.uploads import DocumentSummary, media_type_of, take_in
from serving.wiring import System

T = TypeVar("T")
log = logging.getLogger("sixply.serving")

AT_ONCE = 2
# crashes of the process during an item; with fewer, a machine that loses its power twice would cost an item
ATTEMPTS = 3
PLACE_AGAIN_S = 0.2
LOOK_S = 0.25
STORE_AGAIN_S = 1.0
NEEDS: Mapping[Kind, Permission] = {"ingest": "write", "answers": "ask", "responses": "ask"}


# Returns a job's caller with current rights. Raises a RequestError: never allowed again. ComponentError: not now.
Allow = Callable[[Permission, Principal], Principal]


class _NotNow(Exception):
    """The item was not done, and may be later."""


class Jobs:
    """Runs the jobs of this process. Belongs to the event loop that serves."""

    def __init__(
        self,
        store: JobStore,
        system: System,
        admission: Mapping[Work, Admission],
        lifecycle: Lifecycle,
        allow: Allow,
    ) -> None:
        self.store = store
        self._system, self._admission, self._lifecycle = system, admission, lifecycle
        self._allow = allow
        self._turns: Mapping[Work, FairTurns] = {work: FairTurns(AT_ONCE) for work in admission}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._items: dict[str, asyncio.Future[Any]] = {}
        self._cancelled: set[str] = set()
        self._closing = False

    async def begin(
        self,
        kind: Kind,
        caller: Principal,
        items: Sequence[tuple[str, Mapping[str, Any]]],
        files: Mapping[str, bytes] | None = None,
    ) -> Job:
        """Start a job. Raises ShuttingDown, QuotaExceeded, StorageFull, StoreUnavailable: nothing was started."""
        self._lifecycle.refuse_while_draining()
        job = await self.store.add(kind, caller, items, files or {})
        self._work_on(job)
        return job

    async def cancel(self, job_id: str, caller: Principal) -> Job:
        """Start no further items of a job. A document that is being ingested is finished, an answer is cancelled. A
        job that has ended does not change. Raises NotFound: the caller has no such job.
        """
        job = await self.store.get(job_id, caller)
        if job_id in self._tasks:
            self._cancelled.add(job_id)
        self._break_off(job)
        await self.store.end(job_id, "cancelled")
        return await self.store.get(job_id, caller)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Run jobs while the context is open, including those that an earlier process left."""
        for job in await self.store.adopt():
            self._work_on(job)
        try:
            yield
        finally:
            self._closing = True
            for item in tuple(self._items.values()):
                item.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _work_on(self, job: Job) -> None:
        task = asyncio.create_task(self._run(job))
        self._tasks[job.job_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(job.job_id, None))

    async def _run(self, job: Job) -> None:
        try:
            for item in await self._insist(job, lambda: self.store.items(job.job_id, waiting=True)):
                if not await self._carry_out(job, item):
                    return
            await self._insist(job, lambda: self.store.end(job.job_id, "done"))
        except SixplyError:  # its store fails during shutdown: the next process continues
            log.exception("job %s stopped", job.job_id)
        finally:
            self._cancelled.discard(job.job_id)

    async def _carry_out(self, job: Job, item: JobItem) -> bool:
        """Do an item as soon as it is allowed. Return whether the next one may start."""
        while await self._may_go_on(job):
            try:
                async with self._turn(job):
                    return await self._in_turn(job, item)
            except _NotNow:
                await asyncio.sleep(PLACE_AGAIN_S)
        return False

    async def _may_go_on(self, job: Job) -> bool:
        """Wait until nothing holds the job back. Return false where the job has ended."""
        while not self._is_stopping(job):
            current = await self._insist(job, lambda: self.store.find(job.job_id))
            if current.status != "running":  # another worker was told to cancel it
                return False
            try:
                self._allow(NEEDS[job.kind], job.principal)
            except RequestError as error:
                log.info("job %s ends: %s", job.job_id, error)
                await self._insist(job, lambda: self.store.end(job.job_id, "revoked"))
                return False
            except ComponentError:
                await asyncio.sleep(LOOK_S)
            else:
                return True
        return False

    def _turn(self, job: Job) -> AbstractAsyncContextManager[None]:
        work = _work_of(job)
        turns = self._turns[work]
        turns.limit = min(AT_ONCE, max(1, self._admission[work].limit // 2))
        return turns.turn(job.principal)

    async def _in_turn(self, job: Job, item: JobItem) -> bool:
        """Do an item now. Return whether the next one may start. Raises _NotNow: it was not done, and may be later."""
        status: ItemStatus = "done"
        try:
            async with self._admission[_work_of(job)].place(job.principal):
                if self._is_stopping(job):  # since it waited
                    return False
                async with self._attempt(job, item):
                    outcome = await self._watch(job, item)
        except (asyncio.CancelledError, ShuttingDown):
            return False
        except Overloaded as error:
            raise _NotNow from error
        except _NotNow:
            raise
        # it ends this item only
        except Exception as error:
            status, outcome = "failed", _problem(error)
        kept = {"body": item.given["body"]} if job.kind == "responses" else {}
        await self._insist(job, lambda: self.store.settle(job.job_id, item.number, status, outcome, kept))
        return not self._is_stopping(job)

    @asynccontextmanager
    async def _attempt(self, job: Job, item: JobItem) -> AsyncIterator[None]:
        """Count an attempt around an item, on disk first, so that the next process knows what this one died of.
        Raises InternalError: too many attempts. _NotNow: the item was stopped, or attempts cannot be counted now.
        """
        if item.attempts >= ATTEMPTS:
            raise InternalError(
                f'The server died {item.attempts} times while it worked on "{item.name}", so it is not tried again. The cause is '
                f"in the server's log. The other items go on; send this one by itself when that was mended."
            )
        try:
            await self.store.count_attempt(job.job_id, item.number, 1)
        except StoreUnavailable as error:
            log.exception("job %s waits for its store", job.job_id)
            await asyncio.sleep(STORE_AGAIN_S)
            raise _NotNow from error
        try:
            yield
        except (asyncio.CancelledError, ShuttingDown, Overloaded, Stopped, _NotNow) as error:
            if isinstance(error, Stopped) and self._is_allowed(job):  # its model is stopped, not the caller
                raise
            with suppress(StoreUnavailable):
                await self.store.count_attempt(job.job_id, item.number, -1)
            if isinstance(error, Stopped):
                raise _NotNow from error
            raise

    async def _watch(self, job: Job, item: JobItem) -> Mapping[str, Any]:
        """Do an item and return the outcome. Cancel an answer, and raise _NotNow, where the job loses its permission."""
        caller = self._demand(job)
        if not job.principal.holds_rights_of(caller):
            await self._insist(job, lambda: self.store.add_rights(job.job_id, caller))
        if job.kind == "ingest":
            file = self.store.files(job.job_id) / str(item.number)
            work = _ingest(self._system, item, file, caller, partial(self._demand, job))
        else:
            work = self._answer(item, caller)
        task: asyncio.Future[Mapping[str, Any]] = asyncio.ensure_future(work)
        self._items[job.job_id] = task
        try:
            while not (await asyncio.wait([task], timeout=LOOK_S))[0]:
                if not self._is_allowed(job) and self._break_off(job):
                    await asyncio.wait([task])
                    raise _NotNow
            return task.result()
        finally:
            self._items.pop(job.job_id, None)

    async def _answer(self, item: JobItem, caller: Principal) -> Mapping[str, Any]:
        given = item.given.get("request", item.given)
        request = AnswerRequest.model_validate({**given, "watched": False})
        answer = await collect(self._system.agent.stream(request, caller), self._lifecycle)
        return answer.model_dump(mode="json")

    def _break_off(self, job: Job) -> bool:
        # a document is finished, once begun: half of one must not be stored
        item = self._items.get(job.job_id)
        return job.kind != "ingest" and item is not None and item.cancel()

    def _demand(self, job: Job) -> Principal:
        """Return the job's current caller. Raises _NotNow: the job must wait, or has ended."""
        try:
            return self._allow(NEEDS[job.kind], job.principal)
        except SixplyError as error:
            raise _NotNow from error

    def _is_allowed(self, job: Job) -> bool:
        try:
            self._demand(job)
        except _NotNow:
            return False
        return True

    async def _insist(self, job: Job, work: Callable[[], Awaitable[T]]) -> T:
        # a disk that is full for a moment must neither lose a result nor cause it to be made twice
        while True:
            try:
                return await work()
            except StoreUnavailable:
                if self._is_stopping(job):
                    raise
                log.exception("job %s waits for its store", job.job_id)
                await asyncio.sleep(STORE_AGAIN_S)

    def _is_stopping(self, job: Job) -> bool:
        return self._closing or self._lifecycle.draining or job.job_id in self._cancelled


async def _ingest(system: System, item: JobItem, file: Path, caller: Principal, demand: Demand) -> Mapping[str, Any]:
    """Store the document in `file`. `demand` is called right before it is stored; what it raises is passed on."""
    fields = item.given
    if fields["tenant"] == EVERY_TENANT and "operator" not in caller.roles:
        raise Forbidden(
            "Only operators write for every tenant, and the key that began this job no longer has that role."
        )
    days = {name: date.fromisoformat(day) for name in ("effective_from", "published") if (day := fields.get(name))}
    source = Source(
        uri=item.name,
        tenant=fields["tenant"],
        groups=frozenset(fields["groups"]),
        media_type=media_type_of(item.name),
        series=fields.get("series"),
        effective_from=days.get("effective_from"),
        published=days.get("published"),
    )

    def take() -> DocumentSummary:
        content = file.read_bytes()
        with system.erasures.acting_for(caller):
            upload = Item(source=source, content=content, name=item.name)
            return DocumentSummary.of(take_in(system.retrieval.ingestor, upload, system.policy.scope(caller), demand))

    thread = asyncio.ensure_future(asyncio.to_thread(take))
    try:
        summary = await asyncio.shield(thread)
    except asyncio.CancelledError:
        await asyncio.wait([thread])  # the stores must not be closed while it runs
        raise
    return summary.model_dump(mode="json")


def _work_of(job: Job) -> Work:
    return "writes" if job.kind == "ingest" else "answers"


def _problem(error: Exception) -> dict[str, Any]:
    problem = explain(error)
    reason = {"reason": problem.reason} if isinstance(problem, DocumentRefused) else {}
    return {"code": problem.code, "detail": problem.public, "retryable": problem.retryable, **reason}
