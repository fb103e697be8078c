"""Where idempotency plugs in: around the routes, once the caller is known and the body is whole."""

from functools import partial

from extensions.idempotency.replies import STORE, Idempotency, IdempotencyStore, declare
from serving.hooks import Hooks, Middleware


def plug(hooks: Hooks) -> None:
    context = hooks.context
    store = hooks.keep(IdempotencyStore(context.data_dir / STORE.file, context.clock, context.records))
    hooks.services.append(store)
    hooks.middleware.append(Middleware(wrap=partial(Idempotency, store=store), declare=declare))
