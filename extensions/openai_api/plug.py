"""Where OpenAI's APIs plug in: their routes, and what errors look like on OpenAI's paths."""

from typing import Any

from extensions.openai_api.client import VendorClients
from extensions.openai_api.errors import openai_problem
from foundation.errors import SixplyError
from serving.hooks import Hooks, Started
from serving.http.errors import QuestionTooLong, Surface

# with those of its routes that we do not serve
PATHS = (
    "/v1/audio/", "/v1/batches", "/v1/chat/", "/v1/completions", "/v1/embeddings", "/v1/files", "/v1/images/", "/v1/models",
    "/v1/moderations", "/v1/responses", "/v1/vector_stores",
)  # fmt: skip
BASE_URL = "The base_url of OpenAI's clients ends in /v1, that of Anthropic's does not; "


def plug(hooks: Hooks) -> None:
    hooks.routers += ["extensions.openai_api.chat:router", "extensions.openai_api.responses:router"]
    hooks.surfaces.append(
        Surface(
            paths=PATHS,
            shape=_shape,
            hints=dict.fromkeys(("/chat/completions", "/models", "/responses"), BASE_URL),
        )
    )
    hooks.greetings.append(_greet)
    hooks.services.append(VendorClients())


def _shape(error: SixplyError, status: int, param: str | None) -> tuple[int, dict[str, Any]]:
    return 400 if isinstance(error, QuestionTooLong) else status, openai_problem(error, param)


async def _greet(started: Started) -> str:
    return f"OpenAI's clients: {started.url}/v1"
