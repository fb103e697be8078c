"""The base of every agent: admission, ownership of conversations, decisions, and the events and answer of a run."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import ClassVar, Literal
from uuid import uuid4

from langchain_core.runnables import RunnableConfig

from foundation import names
from foundation.errors import BudgetExceeded, Conflict, InvalidRequest, NotFound, SixplyError, TooLarge
from foundation.machine.deadline import in_thread
from foundation.stores.erasures import Erasures, mark_of
from foundation.tracing import here, span, trace_id
from foundation.types import Principal
from models.embedding import on_behalf_of
from models.pricing import identity
from models.resilience.resilient_chat import chosen_model, demand_choice
from orchestration.actions import Approval, Decision
from orchestration.contract import AgentParts, AnswerScorer
from orchestration.effects.approvals import already_decided_error, expired_error
from orchestration.events import Answer, Event, Step
from orchestration.memory.conversations import Conversations
from orchestration.requests import AnswerRequest
from orchestration.run.answering import error_event, stream_from
from orchestration.run.budget import Budget
from orchestration.run.run import Notes, Run, running
from orchestration.run.state import BEGUN_BY, Result, State, StoredThread, as_result, day_of, fresh, owner_of

# key in a checkpoint's metadata: the agent that wrote it
MADE_BY = "agent"
# How a run begins: new, after a decision, after one on a call beside which the conversation went on, with the results of a client, or after its process was cut off
Begin = Literal["new", "decided", "beside", "results", "cut off"]


class DurableAgent(ABC):
    """An `Agent` whose runs can resume, by `_load_thread` and `_take_steps`. A conversation is one person's, with one run at a time."""

    name: ClassVar[str]
    own_tools: frozenset[str] | None = None
    """Names of the tools that its model is offered; `None`: it takes no tools and no JSON format of a client."""
    takes_images = False
    goes_on_beside = False
    """Whether a conversation goes on while an approval of it waits."""
    run_class: ClassVar[type[Run]] = Run

    def __init__(self, parts: AgentParts) -> None:
        self._parts = parts
        self._settings = parts.settings.answers
        self._busy: set[str] = set()
        self._erasures = Erasures(parts.data_dir)
        self.conversations = Conversations(parts.checkpoints, self._claim_thread, self._withdraw_all)

    @abstractmethod
    async def _load_thread(self, thread_id: str) -> StoredThread:
        """Load the stored state of a conversation."""

    @abstractmethod
    async def _take_steps(self, begin: Begin, state: State, run: Run, config: RunnableConfig) -> State:
        """Take steps until there is a result or a person must decide; store the state after each, and return the last."""

    async def stream(self, request: AnswerRequest, principal: Principal) -> AsyncGenerator[Event, None]:
        if (request.client.tools or request.client.response_format) and self.own_tools is None:
            raise InvalidRequest(
                "This agent takes no tools of a client and writes no JSON for one. Leave them out, or use tool_calling."
            )
        if request.images and not self.takes_images:
            raise InvalidRequest("The model of this agent takes no images. Leave them out.")
        thread_id = self._thread_of(request) or uuid4().hex
        with self._claim_thread(thread_id):
            begin, state = await self._begin(request, thread_id, principal)
            last = None
            try:
                # closed with this stream, so that a caller who leaves cancels the run
                async with aclosing(self._events(begin, state, principal, request)) as events:
                    async for last in events:
                        if last.answer is None:
                            yield last
            finally:
                # a client sends the results of its tools again, and what was done before them must not be done again
                goes_on = last.answer.status == "waiting" if last and last.answer else begin != "new"
                if request.forget and not goes_on:
                    await self._parts.checkpoints.adelete_thread(state["thread_id"])
            if last and last.answer:
                yield last

    async def resume(self, decision: Decision, principal: Principal) -> AsyncGenerator[Event, None]:
        may_decide = self._parts.executor.may_decide
        approval = await may_decide(decision.approval_id, principal, approve=decision.approve)
        with self._claim_thread(approval.thread_id):
            thread = await self._load_thread(approval.thread_id)
            # after the conversation: another worker may have carried it out by now
            approval = await may_decide(decision.approval_id, principal, approve=decision.approve)
            await self._take_decision(decision, approval, thread, principal)
            owner = owner_of(thread.state)
            begin, state = self._begin_decided(approval, thread, owner)
            # the run goes on under the rights of its owner: the approver only decides
            async with aclosing(self._events(begin, state, owner, None)) as events:
                async for event in events:
                    yield event

    def _begin_decided(self, approval: Approval, thread: StoredThread, owner: Principal) -> tuple[Begin, State]:
        if beside := thread.beside.get(approval.approval_id):
            compose = thread.state.get("compose", self._settings.compose)
            state = fresh(beside["question"], compose, approval.thread_id, owner, None)
            return "beside", {**state, "approval_id": approval.approval_id, "model": thread.state.get("model", "")}
        return "decided" if thread.waits else "cut off", thread.state

    def _thread_of(self, request: AnswerRequest) -> str | None:
        return request.thread_id

    async def _begin(self, request: AnswerRequest, thread_id: str, principal: Principal) -> tuple[Begin, State]:
        """Return how the run begins, and its first state. Raises as `stream`."""
        question = self._check_question(request)
        demand_choice(self._parts.chat, request.model)
        cut_off = await self._demand_own_thread(thread_id, question, principal) if request.thread_id else None
        compose = request.compose or self._settings.compose
        state = cut_off or fresh(question, compose, thread_id, principal, request.as_of)
        # also of a run that was cut off: what was refused then may be what the client sends otherwise now
        state["model"] = request.model
        state["client"] = request.client.model_dump(mode="json")
        return "cut off" if cut_off else "new", state

    def _check_question(self, request: AnswerRequest) -> str:
        question, most = request.question, self._settings.max_question_characters
        says = any(letter.isprintable() and not letter.isspace() for letter in question)  # invisible ones ask nothing
        if not (says or request.images):
            raise InvalidRequest("The question is empty. Ask something.")
        if len(question) > most:
            raise TooLarge(
                f"The question has {len(question)} characters; at most {most} are taken. Shorten it, or add the text as a "
                "document and ask about that."
            )
        return question.strip()

    @contextmanager
    def _claim_thread(self, thread_id: str) -> Iterator[None]:
        if thread_id in self._busy:
            raise Conflict("This conversation is busy with another request. Wait for its answer.")
        self._busy.add(thread_id)
        try:
            yield
        finally:
            self._busy.discard(thread_id)

    async def _demand_own_thread(self, thread_id: str, question: str, principal: Principal) -> State | None:
        """Return the state of a run of the same question that was cut off, to resume; else `None`. Raises NotFound, Conflict."""
        thread = await self._load_thread(thread_id)
        if not thread.belongs_to(principal):
            raise NotFound(f"There is no conversation {thread_id}. Leave thread_id out to begin one.")
        # an image without words may be another one
        again = question and thread.unfinished and thread.state["question"] == question
        for approval_id in thread.waits_for if thread.waits else ():
            approval = await self._parts.executor.approvals.get(approval_id, principal.tenant)
            if approval and approval.status == "pending":
                if again:  # its reply may have been lost
                    return thread.state
                if self.goes_on_beside:
                    continue
                raise Conflict(
                    f'This conversation waits for a decision: "{approval.reason}" Until somebody has approved or rejected '
                    "that, ask in another conversation."
                )
        return thread.state if again and not thread.waits else None

    async def _withdraw_all(self, thread_id: str, principal: Principal) -> None:
        """Withdraw what waits in a conversation that is to be deleted. Raises NotFound: it is somebody else's."""
        thread, executor = await self._load_thread(thread_id), self._parts.executor
        if not thread.belongs_to(principal):
            raise NotFound(f"There is no conversation {thread_id}.")
        for approval_id in thread.waits_for | thread.beside.keys():
            approval = await executor.approvals.get(approval_id, principal.tenant)
            # a copy of the conversation has nothing that waits
            if approval and approval.status == "pending" and approval.thread_id == thread_id:
                gone = Decision(approval_id=approval_id, approve=False, reason="the conversation was deleted")
                await executor.decide(gone, principal)

    async def _take_decision(
        self, decision: Decision, approval: Approval, thread: StoredThread, principal: Principal
    ) -> None:
        """Take the decision, or record the same one again where its run was cut off; raise otherwise."""
        beside = approval.approval_id in thread.beside
        waits = beside or (thread.unfinished and approval.approval_id in thread.waits_for)
        unchanged = not decision.approve or decision.arguments in (None, approval.granted_arguments)
        if approval.status == "expired":
            raise expired_error(approval)
        if approval.status == "pending" and waits:
            await self._parts.executor.decide(decision, principal)
        elif approval.status == "pending" and thread.unfinished:
            raise Conflict(
                f"The run that asked for this was cut off before it waited. {approval.requested_by} must ask the same "
                f"again in conversation {approval.thread_id}; then it can be decided."
            )
        elif approval.status == "pending":
            raise NotFound("The run that asked for this is lost. Ask for it again.")
        # the process may have been killed between the decision and the run that it continues
        elif waits and unchanged and approval.status == ("approved" if decision.approve else "rejected"):
            await self._parts.executor.record_decision(approval, principal)
        else:
            raise already_decided_error(approval)

    def _events(
        self, begin: Begin, state: State, principal: Principal, request: AnswerRequest | None
    ) -> AsyncGenerator[Event, None]:
        async def produce(emit: Callable[[Event], None]) -> None:
            chosen_model.set(state.get("model", ""))  # of this task alone
            max_usd = request.max_usd if request else None
            run = self.run_class(
                parts=self._parts,
                principal=principal,
                answer_id=state["answer_id"],
                budget=Budget(self._parts.settings.budget, self._parts.clock, max_usd=max_usd),
                emit=emit,
                state=state,
                request=request,
                notes=Notes(steps=[Step(**step) for step in state.get("steps") or []]),
            )
            with running(run), on_behalf_of(run.principal.tenant):
                await self._drive(begin, state, run)

        return stream_from(produce)

    async def _drive(self, begin: Begin, state: State, run: Run) -> None:
        """Run the agent and emit its events; the last one is `answer` or `error`."""
        attributes = {
            names.AGENT_NAME: self.name,
            names.CONVERSATION_ID: state["thread_id"],
            names.ANSWER_ID: run.answer_id,
            names.TENANT: run.principal.tenant,
        }
        parent = state.get("trace") or ""
        spanned = span(names.INVOKE_AGENT, self.name, layer="orchestration", attributes=attributes, parent=parent)
        try:
            # for the owner of the conversation: an approver is somebody else
            with self._erasures.acting_for(owner_of(state)), spanned as current:
                if begin == "new":
                    state["trace"] = here()
                else:
                    current.set_attribute(names.STEPS_BEFORE, ", ".join(step.name for step in run.notes.steps))
                try:
                    answer = await self._answer(begin, state, run)
                finally:
                    current.set_attribute(names.PROMPTS, ", ".join(sorted(run.notes.prompts.values())))
                current.set_attribute(names.STATUS, answer.status)
                current.set_attribute(names.STOP_REASON, answer.stop_reason)
                current.set_attribute(names.ANSWER_PATH, answer.path)
                for service in self._parts.services:
                    if isinstance(service, AnswerScorer):
                        current.set_attributes(await in_thread(service.score, answer, self._parts))
        except SixplyError as error:
            error.thread_id = None if run.request and run.request.forget else state["thread_id"]
            run.emit(error_event(error))
            return
        if self._tells_at_the_end(answer, run):
            for word in answer.text.split(" "):
                run.emit(Event(kind="token", token=f"{word} "))
        run.emit(Event(kind="answer", answer=answer))

    def _tells_at_the_end(self, answer: Answer, run: Run) -> bool:  # noqa: ARG002 - others look at them
        """Whether the words are emitted only now that the answer is checked."""
        return True

    async def _answer(self, begin: Begin, state: State, run: Run) -> Answer:
        values = state
        try:
            config = config_of(state["thread_id"], **{BEGUN_BY: mark_of(owner_of(state)), MADE_BY: self.name})
            values = await self._take_steps(begin, state, run, config)
            result = values.get("result") or run.nothing_found()
        except BudgetExceeded as error:
            result = await self._answer_within_budget(run, error)
        finally:
            await run.bill.close()
        answer = Answer(
            answer_id=run.answer_id,
            thread_id=state["thread_id"],
            question=state["question"],
            steps=tuple(run.notes.steps),
            degraded=tuple(run.notes.degraded),
            usage=run.bill.usage,
            cost_usd=run.bill.cost_usd,
            cost_notes=tuple(dict.fromkeys(run.notes.cost)),
            seconds=run.bill.seconds,
            first_token_s=run.bill.first_token_s,
            trace_id=trace_id(),
            approval=await self._approval(values.get("approval_id") or "", run),
            drafts=tuple(run.notes.drafts),
            written_by=identity(self._parts.chat)[1] if state.get("model") and run.bill.usage.output_tokens else "",
            as_of=day_of(state) or run.passages.stated_day(result.get("citations") or ()),
            **{"confidence": values.get("confidence") or None, **result},
        )
        return await self._complete(answer, values, run)

    async def _approval(self, approval_id: str, run: Run) -> Approval | None:
        tenant = run.principal.tenant
        return await self._parts.executor.approvals.get(approval_id, tenant) if approval_id else None

    async def _complete(self, answer: Answer, state: State, run: Run) -> Answer:  # noqa: ARG002 - others look at them
        """Return the answer with what this agent alone knows of it."""
        return answer

    async def _answer_within_budget(self, run: Run, error: BudgetExceeded) -> Result:
        run.note(budget_note(error.limit))
        return as_result("failed", "budget", f"{error} No answer was found before that.")


def budget_note(limit: str) -> str:
    """
    >>> budget_note("usd_per_day"), budget_note("tokens")
    ('budget used up: USD of the day', 'budget used up: tokens of one request')
    """
    kind, _, window = limit.partition("_per_")
    return f"budget used up: {kind.replace('usd', 'USD')} of {f'the {window}' if window else 'one request'}"


def config_of(thread_id: str, **marks: str) -> RunnableConfig:
    """Return LangGraph's config of a thread. `otel_trace` is off because steps and `invoke_agent` make their own spans."""
    place = {"thread_id": thread_id, "checkpoint_ns": ""}
    return {"configurable": place, "metadata": {"otel_trace": False, **marks}, "recursion_limit": 50}
