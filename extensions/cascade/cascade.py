"""A cascade of models: a question goes to a more expensive model if the answer of a cheaper one is not good enough."""

import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from copy import copy
from dataclasses import replace
from decimal import Decimal
from functools import partial, reduce
from operator import add
from typing import Any, cast
from uuid import uuid4

from pydantic import Field

from extensions.cascade.samples import SampledAgent, ask_all, delete_conversation, open_judge
from extensions.cascade.span_names import WENT_UP
from foundation import names
from foundation.components import load
from foundation.errors import Forbidden
from foundation.settings import NamedPart, Part, Section
from foundation.tracing import span
from foundation.types import Principal
from models.contract import BaseChatModel
from models.pricing import identity
from models.resilience.resilient_chat import resilient_as
from orchestration.contract import Agent, AgentParts, PersonalMemory
from orchestration.events import Answer, Charge, Event
from orchestration.requests import AnswerRequest
from orchestration.run.answering import stream_from
from orchestration.run.bill import UNCALLED
from orchestration.run.state import answer_id_of_all, charges_of_all
from orchestration.run.wrapping import AgentWrapper

# Routes that end a run without an answer, so that no further model is asked
ENDED = frozenset({"refuse", "hand_over", "reply"})


class Options(Section):
    cheaper: tuple[NamedPart, ...] = ()
    """Chat parts that are asked before `[models.chat]`, the cheapest first, each as it would stand there."""
    up_below: float | None = Field(default=None, ge=0)
    """Least calibrated confidence at which quotes are taken; unset: where they are told as an answer, `[retrieval.grounding] answered_from`."""
    agree_from: float = Field(default=0.9, ge=0, le=1)
    """How far two samples in a model's own words must say the same to be taken; 0: it is asked once, and taken."""
    agent: NamedPart = Part(use="auto")
    """The agent that answers what goes up, by its name, or as a table with its options."""

    @property
    def by_model(self) -> Part:
        """The agent of a cheaper model, which depends on what that model can."""
        return self.agent if self.agent.use == "auto" else Part(use="auto")


class CheaperModels:
    """The cheaper chat models of an open system and their agents, each opened once, however many tenants have an agent of their own."""

    def __init__(self, keep: Callable[[Any], Any] = lambda built: built) -> None:
        self._keep = keep
        self.options = Options()
        self.chats: dict[str, BaseChatModel] = {}
        self._agents: dict[str, Agent] = {}

    def open(self, options: Options, parts: AgentParts) -> Mapping[str, Agent]:
        """Return the agents by the names of their models."""
        self.options, to_open = options, () if self.chats else options.cheaper
        for part in to_open:
            chat = resilient_as(parts.chat, load("models.chat", part, parts, expected=BaseChatModel))
            name = identity(self._keep(chat))[1]
            self.chats[name] = chat
            agent = load(
                "orchestration.agent", options.by_model, replace(_parts_of_cheaper(parts), chat=chat), expected=Agent
            )
            self._agents[name] = sample(agent, options, parts)
        return self._agents


def sample(agent: Agent, options: Options, parts: AgentParts) -> Agent:
    """Return the agent of a cheaper model, asked twice where it writes."""
    return SampledAgent(agent, open_judge(parts), options.agree_from, partial(why_up, up_below=options.up_below))


def _parts_of_cheaper(parts: AgentParts) -> AgentParts:
    """Return the parts of a cheaper agent: of the services what is remembered of people; a tool call raises Forbidden, so that the next model is asked."""

    async def refuse(tool: str, *_: Any, **__: Any) -> Any:
        raise Forbidden(f"it needs the tool {tool}")

    executor = copy(parts.executor)
    executor.call = refuse  # type: ignore[method-assign]
    # a trial has the run's id, and must not use up the calls of the answer that it leads to
    executor._calls = OrderedDict()  # noqa: SLF001
    known_of_people = tuple(service for service in parts.services if isinstance(service, PersonalMemory))
    return replace(parts, executor=executor, services=known_of_people)


class CascadeAgent(AgentWrapper):
    """Asks the `cheaper` agents, by the names of their models, the cheapest first, then `inner`, which answers the rest.

    They are asked only a question that stands alone: a conversation, an image, and a request with tools, instructions
    or a format of a client go to `inner` at once. The cost of an answer and its limit include the trials.
    """

    def __init__(
        self, cheaper: Mapping[str, Agent], name: str, last: Agent, *, most_usd: float, up_below: float | None = None
    ) -> None:
        super().__init__(last)
        self.name, self._up_below, self._most_usd = name, up_below, most_usd
        # a tenant may have chosen one of the cheaper models for itself
        self.cheaper = {other: agent for other, agent in cheaper.items() if other != name}

    def stream(self, request: AnswerRequest, principal: Principal) -> AsyncGenerator[Event, None]:
        return stream_from(partial(self._answer, request, principal))

    async def _answer(self, request: AnswerRequest, principal: Principal, emit: Callable[[Event], None]) -> None:
        charges, reasons = list[Charge](), list[str]()
        begun_s = time.perf_counter()
        most_usd = self._most_usd if request.max_usd is None else min(self._most_usd, request.max_usd)

        def within_limit() -> AnswerRequest:
            # people read this limit: of floats it would be 0.09999999999999998
            used = sum((charge.usd or 0 for charge in charges), Decimal(0))
            return request.model_copy(update={"max_usd": float(max(Decimal(0), Decimal(str(most_usd)) - used))})

        # this task's own context, so nothing has to set it back
        answer_id_of_all.set(uuid4().hex)
        charges_of_all.set(charges)
        with span(names.INVOKE_AGENT, "cascade", layer="orchestration") as current:
            for name, agent in self.cheaper.items() if stands_alone(request) else ():
                events = await ask_all(agent, within_limit(), principal)
                answer = events[-1].answer
                limit = request.client.settings.get("max_tokens")
                reason = why_up(answer, self._up_below, limit) if answer else events[-1].message
                if answer and not reason:
                    for event in events:
                        emit(_with_trials(event, charges, name, reasons, begun_s))
                    return
                reasons.append(f"{name}: {reason}")
                thread_id = next((event.thread_id for event in events if event.thread_id), None)
                await delete_conversation(agent, thread_id, principal)
            current.set_attribute(WENT_UP, "; ".join(reasons))
            async with aclosing(cast("AsyncGenerator[Event]", self.inner.stream(within_limit(), principal))) as later:
                async for event in later:
                    emit(_with_trials(event, charges, self.name, reasons, begun_s))


def stands_alone(request: AnswerRequest) -> bool:
    client = request.client
    before = request.thread_id or request.messages or request.images or request.since or request.model
    return not (before or client.tools or client.instructions or client.response_format)


def why_up(answer: Answer, up_below: float | None = None, limit: int | None = None) -> str | None:
    """Return why an answer of a cheaper model is not taken; `None` where it is. Quotes need a calibrated confidence of at least
    `up_below`. An answer that ends at the client's `limit` of tokens is taken: the next model would reach it, too.
    """
    plan = answer.plan
    if plan and plan["route"] in ENDED:
        return None
    if plan and (plan["route"] == "clarify" or any(step["kind"] != "answer" for step in plan["steps"])):
        return "it needs a tool"
    if answer.unsupported or {"discarded", "refused"} & set(answer.drafts):
        return "what it wrote is not supported by what it read"
    is_cut = answer.stop_reason == "length" and limit and (answer.usage.output_tokens or 0) >= limit
    if answer.status != "answered" or (answer.degraded and not is_cut):
        return "it found no answer" if answer.status != "answered" else answer.degraded[0]
    return _doubt(answer, up_below)


def _doubt(answer: Answer, up_below: float | None) -> str | None:
    if up_below is None:
        return "what it quotes may not answer" if answer.band == "closest" else None
    if answer.confidence is not None and answer.confidence < up_below:
        return f"its confidence of {answer.confidence:.2f} is below {up_below:.2f}"
    return None


def _with_trials(event: Event, charges: Sequence[Charge], name: str, reasons: Sequence[str], begun_s: float) -> Event:
    """Return the event, its answer with the model that wrote it, the reasons of `went_up` and the cost of all trials."""
    if event.answer is None:
        return event
    costs: list[Any] = [charge.usd for charge in charges]
    update = {
        "written_by": name,
        "went_up": tuple(reasons),
        "usage": reduce(add, [charge.usage for charge in charges if charge.kind == "chat"] or [UNCALLED]),
        "cost_usd": None if None in costs else sum(costs),
        "seconds": time.perf_counter() - begun_s,
    }
    return event.model_copy(update={"answer": event.answer.model_copy(update=update)})


def build(options: Options, context: AgentParts) -> Agent:
    models = next((each for each in context.services if isinstance(each, CheaperModels)), CheaperModels())
    last = load("orchestration.agent", options.agent, context, expected=Agent)
    cheaper, name = models.open(options, context), identity(context.chat)[1]
    return CascadeAgent(cheaper, name, last, most_usd=context.settings.budget.usd, up_below=options.up_below)
