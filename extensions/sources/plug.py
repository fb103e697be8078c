"""Where sources plug in: a check of what a search found, and a sync from time to time while a server runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from extensions.sources.contract import Connector
from extensions.sources.recheck import SourceRights
from extensions.sources.settings import Connection, SourcesSettings
from extensions.sources.state import FILE, SourceState
from extensions.sources.sync import Sync
from foundation.components import load
from foundation.errors import SixplyError
from retrieval.ingest.refused_files import most_read
from serving.hooks import Hooks

if TYPE_CHECKING:
    from serving.runtime import Runtime
    from serving.wiring import System

log = logging.getLogger(__name__)
CONNECTORS = "extensions.sources.connectors"


class Sources:
    """The connections of a system, and what is known of their documents."""

    def __init__(self, hooks: Hooks) -> None:
        self.settings, context = hooks.section(SourcesSettings), hooks.context
        self.state = hooks.keep(SourceState(context.data_dir / FILE, context.clock))
        self.connections: dict[str, tuple[Connection, Connector]] = {
            connection.name: (connection, hooks.keep(load(CONNECTORS, connection.source, context, expected=Connector)))
            for connection in self.settings.connections
        }

        self.threads = {name: ThreadPoolExecutor(1, f"sync-{name}") for name in self.connections}

    def close(self) -> None:
        for thread in self.threads.values():
            thread.shutdown(wait=False, cancel_futures=True)

    def sync_of(self, name: str, system: System) -> Sync:
        connection, connector = self.connections[name]
        return Sync(
            connection,
            connector,
            self.state,
            system.retrieval.ingestor,
            system.retrieval.ledger,
            system.context.clock,
            most_read(system.settings.retrieval.parsing.max_bytes),
            self.settings.most_gone,
        )


def plug(hooks: Hooks) -> None:
    sources = Sources(hooks)
    settings, clock = sources.settings, hooks.context.clock
    rights = SourceRights(
        sources.connections, sources.state, clock, settings.rights_max_age_s, settings.recheck_timeout_s
    )
    hooks.services += [hooks.keep(sources), hooks.keep(rights)]

    @asynccontextmanager
    async def keep_in_step(runtime: Runtime) -> AsyncIterator[None]:
        # each by itself: one that never ends its listing, or does not answer, keeps no other from being followed
        names = sources.connections if settings.every_s else ()
        tasks = [asyncio.create_task(_sync_for_ever(sources, name, runtime.system)) for name in names]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    hooks.lifespans.append(keep_in_step)


async def _sync_for_ever(sources: Sources, name: str, system: System) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            report = await loop.run_in_executor(sources.threads[name], sources.sync_of(name, system).run)
            log.info("%s: %d added, %d replaced, %d removed", name, report.added, report.replaced, report.removed)
        except SixplyError as error:
            log.warning("The sync of %s failed, and is tried again: %s", name, error)
        except Exception:  # a connector is foreign code, and what it reads as well; the next pass may go well
            log.exception("The sync of %s failed by an unforeseen error, and is tried again", name)
        await asyncio.sleep(sources.settings.every_s or 0)
