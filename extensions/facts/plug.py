"""Where facts plug in: as what the agent knows of a person, and with their routes. Their tools are a part that stack.toml names."""

from extensions.facts.store import FILE, SqliteFacts
from serving.hooks import Hooks


def plug(hooks: Hooks) -> None:
    context = hooks.context
    hooks.services.append(hooks.keep(SqliteFacts(context.data_dir / FILE, context.clock, records=context.records)))
    hooks.routers.append("extensions.facts.routes:router")
