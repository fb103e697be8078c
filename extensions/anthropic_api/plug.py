"""Where Anthropic's API plugs in: its route, what errors look like there, and the header of its clients that has the key."""

from extensions.anthropic_api.errors import anthropic_problem
from extensions.openai_api.plug import BASE_URL
from serving.hooks import Hooks
from serving.http.errors import Surface


def plug(hooks: Hooks) -> None:
    hooks.routers.append("extensions.anthropic_api.messages:router")
    hooks.surfaces.append(
        Surface(
            paths=("/v1/messages",),
            shape=lambda error, status, _: (status, anthropic_problem(error)),
            key_header="x-api-key",
            hints={"/messages": BASE_URL},
        )
    )
