"""The limit of rounds: calls of the model are charged to the run, and in the last one the model is told to answer."""

from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain.agents.middleware.types import AgentState
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage

from foundation.errors import BudgetExceeded
from orchestration.middleware.base import ModelHandler
from orchestration.middleware.policy import this_turn
from orchestration.run.metered_chat import MeteredChatModel
from orchestration.run.run import Run, current_run
from orchestration.run.tokens import count_tokens

CUT_SHORT = "rounds used up, or nearly all of the budget: the model was asked to answer from what it had"
# Tokens of the answer for which room is kept, and that the last call has at least
ANSWER, LEAST = 1_024, 256


class RoundsMiddleware(AgentMiddleware[AgentState[Any], Any]):
    """Allows at most `rounds` calls of the model for one request, and fewer where the run's tokens, money, steps or seconds would
    leave no room for an answer after another one.
    """

    def __init__(self, *, rounds: int) -> None:
        self._rounds = rounds

    async def awrap_model_call(self, request: ModelRequest[Any], handler: ModelHandler) -> ModelResponse[Any]:
        run = current_run()
        model = request.model if isinstance(request.model, MeteredChatModel) else MeteredChatModel(inner=request.model)
        request = request.override(model=model)
        # those of the state: the request may have lost some to the window
        taken: list[AnyMessage] = dict[str, Any](request.state).get("messages") or request.messages
        done = sum(isinstance(message, AIMessage) for message in this_turn(taken))
        if not done or (done + 1 < self._rounds and _leaves_room(request, run, model)):
            return await handler(request)
        run.note(CUT_SHORT)
        # the tools stay in the request: some providers refuse a conversation with calls of unknown tools
        messages: list[AnyMessage] = [*request.messages, HumanMessage(run.prompt("last_round").text)]
        request = request.override(messages=messages, tool_choice="none")
        response = await handler(request.override(model_settings=_settings_that_fit(request, run, model)))
        called = any(getattr(message, "tool_calls", ()) for message in response.result)
        response.result = [_without_calls(message) for message in response.result]
        if called and not any(message.text for message in response.result):  # asked again it would only call again
            raise BudgetExceeded(
                "The model went on calling tools in its last round, in which it was asked to answer.", limit="rounds"
            )
        return response


def _leaves_room(request: ModelRequest[Any], run: Run, model: MeteredChatModel) -> bool:
    """Whether there is room for an answer after this call, with results like the last ones."""
    read, reply = _tokens_of(request), model.longest_reply(request.model_settings)
    last = max((place for place, it in enumerate(request.messages) if isinstance(it, AIMessage)), default=0)
    # a reply that calls tools is seldom longer than an answer
    wrote = min(reply, ANSWER)
    (tokens, usd), (whole_tokens, whole_usd) = run.bill.expect(read, wrote), run.bill.expect(read, reply)
    answer_tokens, answer_usd = run.bill.expect(read + wrote + count_tokens(request.messages[last:]), wrote)
    if not run.budget.fits(tokens=whole_tokens, usd=whole_usd):
        return False
    both: dict[str, Any] = {"tokens": tokens + answer_tokens, "usd": usd + answer_usd}
    return run.budget.fits(**both, calls=2, seconds=2 * run.bill.slowest_s)


def _settings_that_fit(request: ModelRequest[Any], run: Run, model: MeteredChatModel) -> dict[str, Any]:
    """Return the settings of the last call, its reply as long as the budget allows."""
    read, reply = _tokens_of(request), model.longest_reply(request.model_settings)
    while reply > LEAST:
        tokens, usd = run.bill.expect(read, reply)
        if run.budget.fits(tokens=tokens, usd=usd):
            break
        reply = max(LEAST, reply // 2)
    unchanged = reply == model.longest_reply(request.model_settings)
    return request.model_settings if unchanged else {**request.model_settings, "max_tokens": reply}


def _tokens_of(request: ModelRequest[Any]) -> int:
    whole = [*([request.system_message] if request.system_message else []), *request.messages]
    scale = max(
        1.0, float(dict[str, Any](request.state).get("token_scale", 1.0))
    )  # as the provider counted the last request
    return int(scale * count_tokens(whole, request.tools))


def _without_calls(message: BaseMessage) -> BaseMessage:
    # not every vendor can be told that no tool may be called
    if isinstance(message, AIMessage) and (message.tool_calls or message.invalid_tool_calls):
        words, ended = message.text, message.response_metadata
        return AIMessage(words, id=message.id, usage_metadata=message.usage_metadata, response_metadata=ended)
    return message
