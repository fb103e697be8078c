"""Where sources plug in: a check of what a search found, and a sync from time to time while a server runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from extensions.sources.contract import Connector
from extensions.sources.recheck import SourceRights
from extensions.sources.settings import Connection, SourcesSettings
from extensions.sources.state import FILE, SourceState
from extensions.sources.sync import Sync
from foundation.components import load
from foundation.errors import SixplyError
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

    def sync_of(self, name: str, system: System) -> Sync:
        connection, connector = self.connections[name]
        return Sync(
            connection,
            connector,
            self.state,
            system.ingestor,
            system.ledger,
            system.context.clock,
            self.settings.most_gone,
        )


def plug(hooks: Hooks) -> None:
    sources = Sources(hooks)
    settings, clock = sources.settings, hooks.context.clock
    rights = SourceRights(
        sources.connections, sources.state, clock, settings.rights_max_age_s, settings.recheck_timeout_s
    )
    hooks.services += [sources, hooks.keep(rights)]

    @asynccontextmanager
    async def keep_in_step(runtime: Runtime) -> AsyncIterator[None]:
        task = asyncio.create_task(_sync_for_ever(sources, runtime.system)) if settings.every_s else None
        try:
            yield
        finally:
            if task:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    hooks.lifespans.append(keep_in_step)


async def _sync_for_ever(sources: Sources, system: System) -> None:
    while True:
        for name in sources.connections:
            try:
                report = await asyncio.to_thread(sources.sync_of(name, system).run)
                log.info("%s: %d added, %d replaced, %d removed", name, report.added, report.replaced, report.removed)
            except SixplyError as error:
                log.warning("The sync of %s failed, and is tried again: %s", name, error)
        await asyncio.sleep(sources.settings.every_s or 0)
