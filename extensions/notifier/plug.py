"""Where the notifier plugs in: it is told of each approval that waits, and counts those of which nobody could be told."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from extensions.notifier.announcing import Announcer
from extensions.notifier.settings import NotifierSettings
from extensions.notifier.webhook import open_webhook
from foundation import names
from foundation.errors import InvalidSetting
from observability.telemetry import metrics
from serving.hooks import Hooks
from serving.runtime import Runtime

log = logging.getLogger(__name__)


def plug(hooks: Hooks) -> None:
    """Raises InvalidSetting: there is an address and no secret."""
    settings = hooks.section(NotifierSettings)
    if not settings.url:
        log.warning("[notifier] has no url, so nobody is told of an approval that waits, but for the line in the log")
        return
    if not settings.secret:
        raise InvalidSetting(
            "[notifier] has no secret, so its posts could not be signed. Set it by SIXPLY__NOTIFIER__SECRET, or turn it off: "
            "make remove NAME=notifier"
        )
    webhook = hooks.keep(open_webhook(settings, hooks.context.clock))
    announcer = hooks.keep(Announcer(webhook.announce, link=settings.link))
    hooks.announcers.append(announcer.announce)
    hooks.lifespans.append(partial(_count, announcer))


@asynccontextmanager
async def _count(announcer: Announcer, _: Runtime) -> AsyncIterator[None]:
    metrics.domain().watch(names.APPROVALS_UNANNOUNCED, announcer.failed)
    yield
