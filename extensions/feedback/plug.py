"""Where feedback plugs in: its store, and its routes."""

from extensions.feedback.store import FILE, OutcomeStore
from observability.build import join_redactors
from serving.hooks import Hooks


def plug(hooks: Hooks) -> None:
    context = hooks.context
    # whoever takes personal data out may plug in later, so the services are read when a note is stored
    clean = join_redactors(hooks.services)
    hooks.services.append(hooks.keep(OutcomeStore(context.data_dir / FILE, context.records, clean=clean)))
    hooks.routers.append("extensions.feedback.routes:router")
