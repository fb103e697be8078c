"""The route that fills an object by its JSON schema."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field, JsonValue, StringConstraints

from extensions.objects.objects import ObjectAnswer, Objects, model_of
from foundation.machine.deadline import in_thread
from foundation.types import Principal
from serving.access.identity import Asker
from serving.api.answers import check_length
from serving.api.schemas import Question, RequestBody, Text
from serving.http.errors import responses
from serving.http.streams import unless_left
from serving.runtime import Running, Runtime, admit

router = APIRouter(prefix="/v1", tags=["answers"])


class ObjectRequest(RequestBody):
    question: Question = Field(examples=["Which order is this about?"])
    shape: dict[str, JsonValue] = Field(
        alias="schema",
        description="The JSON schema of an object; describe its fields, since that is how they are found.",
        examples=[
            {
                "type": "object",
                "properties": {"quantity": {"type": "integer", "description": "how many devices were ordered"}},
                "required": ["quantity"],
            }
        ],
    )
    text: Annotated[Text, StringConstraints(max_length=20_000)] | None = Field(
        default=None, description="Where to read it from; absent: the documents that you may read."
    )


@router.post("/objects", responses=responses(429), dependencies=[admit("answers")])
async def fill(body: ObjectRequest, request: Request, caller: Asker, runtime: Running) -> ObjectAnswer[Any]:
    """Answer as an object that fits a JSON schema, from a text that you send or from the documents.

    Values are read from the text where it states them; `written` names the fields that the language model wrote.
    Without an object, `failure` is the reason. Disconnecting cancels the work.
    """
    check_length(body.question, runtime.system.settings.orchestration.answers)
    await runtime.system.serving.quotas.demand_left(caller)
    return await unless_left(_fill_object(body, caller, runtime), runtime.lifecycle, request)


async def _fill_object(body: ObjectRequest, caller: Principal, runtime: Runtime) -> ObjectAnswer[Any]:
    schema = await in_thread(model_of, body.shape)
    answer: ObjectAnswer[Any] = await runtime.part(Objects).answer_as(schema, body.question, caller, text=body.text)
    return answer
