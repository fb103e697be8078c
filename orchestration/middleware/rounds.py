"""The limit of rounds: calls of the model are charged to the run, and in the last one the model is told to answer."""

from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain.agents.middleware.types import AgentState
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.messages.utils import count_tokens_approximately

from orchestration.middleware.base import ModelHandler
from orchestration.middleware.policy import this_turn
from orchestration.run.metered_chat import MeteredChatModel
from orchestration.run.run import current_run

CUT_SHORT = "rounds used up, or nearly all tokens: the model was asked to answer from what it had"


class RoundsMiddleware(AgentMiddleware[AgentState[Any], Any]):
    """Allows at most `rounds` calls of the model for one request. The run limits money, tokens and seconds."""

    def __init__(self, *, rounds: int) -> None:
        self._rounds = rounds

    async def awrap_model_call(self, request: ModelRequest[Any], handler: ModelHandler) -> ModelResponse[Any]:
        run = current_run()
        model = request.model if isinstance(request.model, MeteredChatModel) else MeteredChatModel(inner=request.model)
        request = request.override(model=model)
        done = sum(isinstance(message, AIMessage) for message in this_turn(request.messages))
        if not done or (
            done + 1 < self._rounds and run.budget.fits(tokens=2 * count_tokens_approximately(request.messages))
        ):
            return await handler(request)
        run.note(CUT_SHORT)
        # the tools stay in the request: some providers refuse a conversation with calls of unknown tools
        messages = [*request.messages, HumanMessage(run.prompt("last_round").text)]
        response = await handler(request.override(messages=messages, tool_choice="none"))
        response.result = [_without_calls(message) for message in response.result]
        return response


def _without_calls(message: BaseMessage) -> BaseMessage:
    # not every vendor can be told that no tool may be called
    if isinstance(message, AIMessage) and (message.tool_calls or message.invalid_tool_calls):
        words, ended = message.text, message.response_metadata
        return AIMessage(words, id=message.id, usage_metadata=message.usage_metadata, response_metadata=ended)
    return message
