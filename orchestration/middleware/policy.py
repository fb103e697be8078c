"""Tool calls by the executor; a call that needs an approval pauses the run until a person has decided."""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast
from uuid import uuid4

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain.agents.middleware.types import AgentState
from langchain.tools.tool_node import ToolCallRequest
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.tool import ToolCall as ToolCallDict
from langchain_core.messages.tool import tool_call
from langchain_core.runnables.config import merge_configs
from langchain_core.tools import BaseTool
from langgraph.types import interrupt

from foundation.output.rendering import encodable
from orchestration.actions import Approval, Origin, ToolOutcome
from orchestration.calls import Invoke, metadata_of
from orchestration.effects.executor import WAITS, Executor
from orchestration.effects.offered import OfferedTool, describe_tool
from orchestration.events import ToolCall
from orchestration.middleware.base import ModelHandler, ReportingTool, ToolHandler, ToolReply
from orchestration.run.metered_chat import PERSON, is_from_person, is_note
from orchestration.run.run import Run, current_run

WRITTEN = (
    "the model wrote a call of a tool into its text, so it was not made: its server does not read the model's calls (vLLM: "
    "--enable-auto-tool-choice and the --tool-call-parser of the model)"
)
_CALL_SIGNS = re.compile(r"<\|?tool_?calls?|\[TOOL_CALLS\]|<function=|<\uff5ctool", re.IGNORECASE)
_CALL_AS_JSON = re.compile(r'"name"\s*:\s*"([\w-]+)"\s*,\s*"(?:arguments|parameters)"\s*:')
# Number of the person's last messages that an approver reads: the request, and what completed it
LATEST = 3
# Most characters of a result in an event
SHOWN = 500
# Most characters of a result that are stored; the model reads them in parts
LONGEST_RESULT = 1_000_000
# Keys of an artifact by which a sub-agent tells what its own tools did and read
_OF_A_REPORT = frozenset({"is_report", "outcomes", "read"})


class PolicyMiddleware(AgentMiddleware[AgentState[Any], Any]):
    """Puts the executor between the model and its tools. The read-only tools of other middleware bypass it."""

    def __init__(self, executor: Executor, *, calls_within: bool = False) -> None:
        """`calls_within`: whether the executor calls tools that only read through the middleware within, which may try again."""
        self._executor, self._calls_within = executor, calls_within
        self._names = frozenset(tool.name for tool in executor.tools)

    async def awrap_model_call(self, request: ModelRequest[Any], handler: ModelHandler) -> ModelResponse[Any]:
        """Offer the model only the tools that the caller may use."""
        allowed = self._executor.allowed_tools(current_run().principal)
        offered = [tool for tool in request.tools if _name(tool) not in self._names or _name(tool) in allowed]
        response = await handler(request.override(tools=offered))
        response.result = [made for message in response.result for made in _with_whole_calls(message)]
        if any(_writes_its_calls(message, offered) for message in response.result):
            current_run().note(WRITTEN)
        return response

    async def awrap_tool_call(self, request: ToolCallRequest, handler: ToolHandler) -> ToolReply:
        run, call = current_run(), request.tool_call
        _tell(run, call, "begun")
        # an unknown tool too: the executor says so, and records it
        if call["name"] in self._names or request.tool is None:
            through = _through(request, handler) if self._calls_within and request.tool else None
            return await execute(self._executor, call, request.state["messages"], run, through=through)
        if not self._executor.count_call(run.answer_id):
            content = self._executor.too_many_calls
            _tell(run, call, "denied", content)
            return ToolMessage(content, name=call["name"], tool_call_id=call["id"] or "", status="error")
        reply = await handler(request)
        message = message_in(reply)
        if not isinstance(request.tool, ReportingTool):
            _drop_reports(reply)
        failed = message is not None and message.status == "error"
        _tell(run, call, "failed" if failed else "done", message.text if message else "")
        return reply


def _drop_reports(reply: ToolReply) -> None:
    """Take out what would vouch for more than the tool's own result."""
    for message in _messages_in(reply):
        if isinstance(message.artifact, dict):
            message.artifact = {key: value for key, value in message.artifact.items() if key not in _OF_A_REPORT}


def message_in(reply: ToolReply) -> ToolMessage | None:
    """Return what a tool says to the model; `None` where it only changes the state."""
    return next(iter(_messages_in(reply)), None)


def _messages_in(reply: ToolReply) -> list[ToolMessage]:
    if isinstance(reply, ToolMessage):
        return [reply]
    messages = reply.update.get("messages", ()) if isinstance(reply.update, dict) else ()
    return [message for message in messages if isinstance(message, ToolMessage)]


class _ConfiguredTool(BaseTool):
    """A tool with the executor's configuration, which LangGraph's node of tools knows nothing of."""

    inner: BaseTool
    settings: dict[str, Any]

    async def ainvoke(self, input: Any, config: Any = None, **_: Any) -> Any:  # noqa: A002 - LangChain's name
        return await self.inner.ainvoke(input, merge_configs(config, cast("Any", self.settings)))

    def _run(self, *_: Any, **__: Any) -> Any:  # LangChain's base class demands it, and nobody calls it
        raise NotImplementedError(f"{self.name} is called with `await tool.ainvoke(...)`.")


def _through(request: ToolCallRequest, handler: ToolHandler) -> Invoke:
    async def invoke(tool: BaseTool, call: dict[str, Any], settings: dict[str, Any]) -> ToolMessage:
        said = describe_tool(tool) | {"response_format": tool.response_format}
        configured = _ConfiguredTool(**said, inner=tool, settings=settings)
        wanted = cast("ToolCallDict", {**request.tool_call, **call})
        reply = await handler(request.override(tool_call=wanted, tool=configured))
        return message_in(reply) or ToolMessage("", tool_call_id=wanted["id"] or "")

    return invoke


async def execute(
    executor: Executor,
    call: ToolCallDict,
    messages: Sequence[AnyMessage],
    run: Run,
    *,
    through: Invoke | None = None,
) -> ToolMessage:
    """Carry out a model's tool call by the executor; pause the graph where it needs an approval. Without `messages`, the
    conversation so far, the person's question is the only text of theirs.
    """
    call_id = call["id"] or ""
    approval = run.waiting.get(call_id)
    # one that is still pending waits on: another call of the same turn was decided
    text = f"{approval.reason} {WAITS}" if approval else ""
    if approval is None or approval.status != "pending":
        outcome = await call_executor(executor, call, messages, run, approval, through=through)
        if outcome.status != "waiting" or outcome.approval is None:
            run.waiting.pop(call_id, None)  # some servers give the id to a later call of the same run again
            _tell(run, call, outcome.status, outcome.content)
            return as_message(executor, call, outcome, approval)
        approval, text = outcome.approval, outcome.content
        _tell(run, call, "waiting", outcome.content)
        run.tell("approval", approval=approval)
    # raises; the run goes on at the top, with the decided approval in `run.waiting`
    interrupt({"approval_id": approval.approval_id, "call_id": call_id, "text": text})
    raise AssertionError("A call that waits goes on only once its approval was decided.")


async def call_executor(
    executor: Executor,
    call: ToolCallDict,
    messages: Sequence[AnyMessage],
    run: Run,
    approval: Approval | None,
    *,
    run_id: str = "",
    through: Invoke | None = None,
) -> ToolOutcome:
    """Make a call for the run, or for an earlier one, `run_id`, to which its approval and its effect belong."""
    words: list[str] = [m.text for m in messages if is_from_person(m)]
    words = words or [run.state.get("question", "")]
    return await executor.call(
        call["name"],
        call["args"],
        principal=run.principal,
        run_id=run_id or run.answer_id,
        thread_id=run.state.get("thread_id", ""),
        step=0,
        call_id=call["id"] or "",
        origin=Origin(
            words="\n".join(words),
            asked="\n".join(words[-LATEST:]),
            results=recorded_outcomes(messages),
            taken_back=run.taken_back,
        ),
        approval=approval,
        through=through,
    )


class GovernedTool(OfferedTool):
    """A tool that the executor calls, also where no `PolicyMiddleware` stands around it."""

    executor: Any

    async def ainvoke(self, input: Any, config: Any = None, **_: Any) -> ToolMessage:  # noqa: A002, ARG002 - LangChain's names
        called = isinstance(input, dict) and input.get("type") == "tool_call"
        call = input if called else {"name": self.name, "args": input, "id": uuid4().hex}
        call = {**call, "args": _encodable(call["args"])}
        return await execute(self.executor, cast("ToolCallDict", call), (), current_run())

    def _run(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError(f"{self.name} is called with `await tool.ainvoke(...)`, within a run.")


def governed_tools(executor: Executor) -> list[BaseTool]:
    """Return every tool of the executor for your own graph; each call goes through the policy."""
    return [GovernedTool.of(tool, executor=executor) for tool in executor.tools]


def as_person(message: AnyMessage) -> AnyMessage:
    """Return a message; a human one counts as the person's own words, which others, such as summaries, do not."""
    id_of_person = f"{PERSON}{uuid4().hex}"
    theirs = isinstance(message, HumanMessage) and not is_note(message)
    return message.model_copy(update={"id": id_of_person}) if theirs else message


def recorded_outcomes(messages: Sequence[AnyMessage]) -> tuple[ToolOutcome, ...]:
    """Return the executor's outcomes in these messages."""
    # by the message's own tool: one that bypasses the executor must not forge the outcome of another
    outcomes = (
        outcome
        for message in messages
        for outcome in (artifact_of(message).get("outcome"), *artifact_of(message).get("outcomes", ()))
        if isinstance(outcome, dict)
        and (is_note(message) or outcome.get("tool") == message.name or "is_report" in artifact_of(message))
    )
    return tuple(ToolOutcome(**outcome) for outcome in outcomes)


def artifact_of(message: AnyMessage) -> dict[str, Any]:
    artifact = getattr(message, "artifact", None)
    return artifact if isinstance(artifact, dict) else {}


def approvals_of(messages: Sequence[AnyMessage]) -> frozenset[str]:
    """Return the ids of the approvals with which calls of this turn resumed."""
    artifacts = map(artifact_of, this_turn(messages))
    return frozenset(artifact["approval_id"] for artifact in artifacts if artifact.get("approval_id"))


def this_turn(messages: Sequence[AnyMessage]) -> Sequence[AnyMessage]:
    """Return the messages from the last human one on."""
    starts = [place for place, message in enumerate(messages) if isinstance(message, HumanMessage)]
    return messages[starts[-1] :] if starts else messages


def _with_whole_calls(message: BaseMessage) -> list[BaseMessage]:
    """Return the message with an id of its own for each call, and an error for each call whose arguments are no JSON object."""
    if not isinstance(message, AIMessage) or not (message.tool_calls or message.invalid_tool_calls):
        return [message]
    calls: list[ToolCallDict] = []
    errors: list[ToolMessage] = []
    for call in (*message.tool_calls, *message.invalid_tool_calls):
        name, call_id, arguments = call["name"] or "unknown", call.get("id") or uuid4().hex, call["args"]
        if any(call_id == made["id"] for made in calls):  # providers refuse to be shown two calls of one id
            call_id = uuid4().hex
        fits = isinstance(arguments, dict)
        calls.append(tool_call(name=name, args=_encodable(cast("Any", arguments)) if fits else {}, id=call_id))
        if not fits:
            reason = cast("Any", call).get("error") or "this is no JSON object"
            wrong = f"Nothing was called. Of the arguments: {reason}. Found: {str(arguments)[:SHOWN]}"
            errors.append(ToolMessage(wrong, name=name, tool_call_id=call_id, status="error"))
    return [message.model_copy(update={"tool_calls": calls, "invalid_tool_calls": []}), *errors]


def _writes_its_calls(message: BaseMessage, offered: Sequence[BaseTool | dict[str, Any]]) -> bool:
    if not isinstance(message, AIMessage) or message.tool_calls:
        return False
    named = {match[1] for match in _CALL_AS_JSON.finditer(message.text)}
    return _CALL_SIGNS.search(message.text) is not None or bool(named & set(map(_name, offered)))


def _encodable(arguments: dict[str, Any]) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(encodable(json.dumps(arguments, ensure_ascii=False))))


def as_message(executor: Executor, call: ToolCallDict, outcome: ToolOutcome, approval: Approval | None) -> ToolMessage:
    """Return the outcome for the model: its text, and its data where the text does not contain it."""
    content, data, data_is_shown = outcome.content, "", False
    named = outcome.artifact.get("passages") if isinstance(outcome.artifact, dict) else None
    passages = [name for name in named if isinstance(name, str)] if isinstance(named, list) else []
    if outcome.status == "done" and outcome.artifact is not None:
        data = json.dumps(outcome.artifact, ensure_ascii=False, default=str)
        with suppress(ValueError):
            data_is_shown = json.loads(content) == outcome.artifact
        content = content if data in content or data_is_shown else f"{content}\n{data}"
    if granted := _said_by_approver(outcome.approval):
        content = f"{granted}\n{content}"
    if len(content) > LONGEST_RESULT:
        content = f"{content[:LONGEST_RESULT]}\n[The result has {len(content):,} characters; the rest was not kept.]"
    update: dict[str, Any] = {"content": outcome.content[:LONGEST_RESULT], "approval": None, "artifact": None}
    if len(data) <= LONGEST_RESULT:
        update |= {"content": outcome.content[: LONGEST_RESULT - len(data)], "artifact": outcome.artifact}
    stored = outcome.model_copy(update=update).model_dump(mode="json")
    return ToolMessage(
        content=content,
        name=call["name"],
        tool_call_id=call["id"] or "",
        status="success" if outcome.status == "done" else "error",
        artifact={
            "outcome": stored,
            "approval_id": approval.approval_id if approval else "",
            "effect": _is_effect(executor, call["name"]) and outcome.status == "done",
        }
        | ({"chunks": passages} if passages else {}),
    )


def _is_effect(executor: Executor, name: str) -> bool:
    return any(tool.name == name and metadata_of(tool, "effect", True) for tool in executor.tools)


def _said_by_approver(approval: Approval | None) -> str:
    """Return what the approver changed and noted: the model sees its own call, and would else say that this one was made."""
    if approval is None or approval.status != "approved":
        return ""
    asked, granted = approval.arguments, approval.granted_arguments
    changes = [
        f"{name} = {_as_json(granted.get(name))} in place of {_as_json(asked.get(name))}"
        for name in dict.fromkeys([*asked, *granted])
        if granted.get(name) != asked.get(name)
    ]
    changed = f" with other arguments, and this was done: {', '.join(changes)}" if changes else ""
    note = f" Their note: {approval.decision_reason}" if approval.decision_reason else ""
    return f"{approval.decided_by} approved it{changed}.{note}" if changed or note else ""


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _tell(run: Run, call: ToolCallDict, status: str, content: str = "") -> None:
    details: dict[str, Any] = {"arguments": call["args"], "status": status, "content": content[:SHOWN]}
    run.tell("tool", tool=ToolCall(call_id=call["id"] or "", tool=call["name"], **details))


def _name(tool: BaseTool | dict[str, Any]) -> str:
    return tool.name if isinstance(tool, BaseTool) else str(tool.get("name", ""))
