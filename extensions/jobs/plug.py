"""Where jobs plug in: their store, their routes, and in each server a queue that runs while it does."""

from extensions.jobs.queue import Jobs
from extensions.jobs.settings import JobSettings
from extensions.jobs.store import FOLDER, JobStore
from serving.hooks import Hooks
from serving.runtime import Runtime


def plug(hooks: Hooks) -> None:
    store = hooks.keep(JobStore(hooks.context.data_dir / FOLDER, hooks.context.clock, hooks.section(JobSettings)))
    hooks.services.append(store)
    hooks.routers.append("extensions.jobs.routes:router")
    hooks.server_parts.append(lambda runtime: _make_queue(runtime, store))
    hooks.lifespans.append(lambda runtime: runtime.part(Jobs).open())


def _make_queue(runtime: Runtime, store: JobStore) -> Jobs:
    return Jobs(store, runtime.system, runtime.admission, runtime.lifecycle, runtime.allow)
