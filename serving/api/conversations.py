"""The caller's own conversations. Those of others are invisible, even in the same tenant."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from foundation.errors import NotFound
from foundation.types import Principal
from orchestration.events import Conversation, Turn
from orchestration.memory.conversations import Conversations
from orchestration.run.wrapping import innermost
from serving.access.identity import Asker
from serving.api.schemas import Identifier, Pages, RequestBody, Text
from serving.http.errors import responses
from serving.runtime import Running, Runtime, admit

router = APIRouter(prefix="/v1/conversations", tags=["conversations"], dependencies=[admit("reads")])


ThreadId = Annotated[Identifier, Field(examples=["t-1"])]


class ConversationList(BaseModel):
    conversations: list[Conversation]
    next_cursor: str | None


class ConversationTurns(BaseModel):
    thread_id: str
    turns: list[Turn]
    next_cursor: str | None


@router.get("", responses=responses(404))
async def listed(caller: Asker, runtime: Running, pages: Pages) -> ConversationList:
    """List your conversations, newest first, each with its first question."""
    conversations = await require_conversations(runtime, caller).all(caller)
    page, cursor = pages.page(
        conversations,
        lambda conversation: f"{conversation.begun_at.isoformat()} {conversation.thread_id}",
        newest_first=True,
    )
    return ConversationList(conversations=page, next_cursor=cursor)


@router.get("/{thread_id}", responses=responses(404))
async def read(thread_id: ThreadId, caller: Asker, runtime: Running, pages: Pages) -> ConversationTurns:
    """List questions and answers, oldest first. Quotes stay as they were given, even where documents have changed."""
    turns = await require_conversations(runtime, caller).turns(thread_id, caller)
    page, cursor = pages.page(list(enumerate(turns)), lambda numbered: f"{numbered[0]:09}")
    return ConversationTurns(thread_id=thread_id, turns=[turn for _, turn in page], next_cursor=cursor)


class ConversationChange(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Warranty of the QL-20"}, {"pinned": True}]})

    title: Annotated[Text, StringConstraints(strip_whitespace=True, max_length=200)] | None = Field(
        default=None, description="Its name in lists; empty: its first question again."
    )
    pinned: bool | None = Field(default=None, description="Whether the page lists it before the others.")


@router.patch("/{thread_id}", responses=responses(404, 409))
async def change(thread_id: ThreadId, body: ConversationChange, caller: Asker, runtime: Running) -> Conversation:
    """Name or pin a conversation. What is left out stays."""
    return await require_conversations(runtime, caller).change(thread_id, caller, title=body.title, pinned=body.pinned)


@router.delete("/{thread_id}", status_code=204, responses=responses(404, 409))
async def delete(thread_id: ThreadId, caller: Asker, runtime: Running) -> None:
    """Delete a conversation. Its costs and the fact of each answer stay in the cost ledger and the audit."""
    await require_conversations(runtime, caller).delete(thread_id, caller)


def require_conversations(runtime: Runtime, caller: Principal) -> Conversations:
    """Return those of the agent that answers the caller. Raises NotFound: it keeps no conversations."""
    # only that agent knows which of them are busy
    store: Conversations | None = getattr(innermost(runtime.system.agent, caller), "conversations", None)
    if store is None:
        raise NotFound("The agent that is configured keeps no conversations ([orchestration.agent] in stack.toml).")
    return store
