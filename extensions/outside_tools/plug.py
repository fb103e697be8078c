"""Where people's own sign-ins to servers of tools plug in. The tools themselves are parts that stack.toml names."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serving.hooks import Hooks
from serving.runtime import Runtime


def plug(hooks: Hooks) -> None:
    if not any(part.options.get("sign_in_at") for part in hooks.settings.orchestration.tools):
        return
    hooks.routers.append("extensions.outside_tools.routes:router")
    hooks.server_parts.append(_sign_ins)
    hooks.lifespans.append(_while_open)


def _sign_ins(runtime: Runtime) -> object:
    from extensions.outside_tools.mcp import Options
    from extensions.outside_tools.sign_in import SignIns

    parts = [part for part in runtime.system.settings.orchestration.tools if part.options.get("sign_in_at")]
    servers = [Options.model_validate(part.options) for part in parts]
    return SignIns({options.name: options for options in servers}, runtime.system.context)


@asynccontextmanager
async def _while_open(runtime: Runtime) -> AsyncIterator[None]:
    from extensions.outside_tools.sign_in import SignIns

    yield
    runtime.part(SignIns).close()
