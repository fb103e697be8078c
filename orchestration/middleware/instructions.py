"""The system message, built for each call of the model and not stored in the conversation."""

import asyncio
from collections.abc import Sequence
from typing import Any

from langchain.agents.middleware import ModelRequest
from langchain_core.messages import SystemMessage

from orchestration.contract import AgentParts
from orchestration.language.guard import without_tags
from orchestration.middleware.base import RequestMiddleware
from orchestration.requests import ClientOptions
from orchestration.run.run import Run, current_run

PROMPTS = ("persona", "tool_calling_documents", "tool_calling", "language", "length")
FORBIDDEN = "the client's instructions were not followed: the operator does not allow any"


class InstructionsMiddleware(RequestMiddleware):
    """Sets the system message: the prompts `names`, the date, facts about the person, the client's instructions."""

    def __init__(self, parts: AgentParts, names: Sequence[str] = PROMPTS, *, client: bool = True) -> None:
        """`client` says whether instructions of the client are followed."""
        self._parts, self._names, self._client = parts, names, client

    async def prepare(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        run = current_run()
        facts = await asyncio.to_thread(self._parts.recall, run.principal)
        day = run.state.get("as_of")
        parts = [
            *(run.prompt(name).text for name in self._names),
            f"Today is {self._parts.clock.now():%A, %d %B %Y}.",
            f"The person asks for what was in force on {day}." if day else "",
            f"What the person asked to be remembered: {'; '.join(facts)}" if facts else "",
            self._of_client(run),
        ]
        return request.override(system_message=SystemMessage("\n\n".join(part for part in parts if part)))

    def _of_client(self, run: Run) -> str:
        instructions = client_options(run).instructions
        if instructions and not self._client:
            run.note(FORBIDDEN)
            return ""
        framed = without_tags(instructions, "client_instructions")
        return run.prompt("client").fill(instructions=framed) if instructions else ""


def client_options(run: Run) -> ClientOptions:
    return ClientOptions(**run.state.get("client", {}))
