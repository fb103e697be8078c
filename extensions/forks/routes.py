"""The route that copies one of the caller's own conversations up to an answer."""

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from extensions.forks.forking import fork_conversation
from foundation.stores.erasures import Erasures
from foundation.types import Principal
from orchestration.calls import metadata_of
from orchestration.events import Conversation
from serving.access.identity import Asker
from serving.api.conversations import ThreadId, require_conversations
from serving.api.schemas import Identifier, RequestBody
from serving.http.errors import responses
from serving.runtime import Running, Runtime, admit

router = APIRouter(prefix="/v1/conversations", tags=["conversations"], dependencies=[admit("reads")])


class ForkRequest(RequestBody):
    model_config = ConfigDict(json_schema_extra={"examples": [{"after": "a-1"}, {}]})

    after: Identifier | None = Field(
        default=None,
        description="The `answer_id` that the copy ends with. The whole conversation if absent.",
    )


@router.post("/{thread_id}/fork", status_code=201, responses=responses(404, 409))
async def fork(thread_id: ThreadId, body: ForkRequest, caller: Asker, runtime: Running) -> Conversation:
    """Copy a conversation up to an answer, and go on in the copy with its `thread_id`. The conversation itself stays.

    What was done after that answer stays done: the copy says so, and the same action asked for there is not done again.
    """
    return await copy_conversation(thread_id, body.after, caller, runtime)


async def copy_conversation(
    thread_id: str, after: str | None, caller: Principal, runtime: Runtime, *, copy_id: str = ""
) -> Conversation:
    """Copy one of the caller's conversations. Raises as `fork_conversation`."""
    system = runtime.system
    effects = frozenset(tool.name for tool in system.orchestration.tools if metadata_of(tool, "effect", True))
    with Erasures(system.context.data_dir, system.context.records).acting_for(caller):
        return await fork_conversation(
            require_conversations(runtime, caller),
            thread_id,
            caller,
            after=after,
            effects=effects,
            clock=system.context.clock,
            copy_id=copy_id,
        )
