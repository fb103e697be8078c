"""The chat model for code that calls it within a run: an agent of LangChain, a middleware, a judge, your own graph."""
# ruff: noqa: SLF001  # LangChain spells the hooks of a chat model with an underscore, and a wrapper must call them

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import TimeoutError as NotYet
from contextlib import aclosing
from functools import cache
from os.path import commonprefix
from typing import Any, cast

import regex
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from pydantic import ConfigDict, Field

from foundation.errors import ComponentError, InvalidRequest
from foundation.machine.deadline import check
from foundation.machine.threads import waiting_for_loop
from foundation.output.rendering import encodable
from foundation.text.prose import CodeSplitter
from models.embedding import on_behalf_of
from models.pricing import identity
from models.resilience.bindings import ChatWrapper, bound_arguments, carry_settings, longest_reply
from models.resilience.streams import THINKING, end_of_thoughts, metadata_of, stream_of, without_thoughts
from orchestration.language.guard import REMOVED, Addresses, addresses_in, comparable, without_addresses
from orchestration.run.bill import Chunks
from orchestration.run.run import Run, current_run, run_at_work, running

# Tokens reserved for a reply that nothing limits
REPLY_TOKENS = 4096
# Seconds after which a thread that waits for a reply checks again whether its caller is gone
_LOOKS_S = 0.2
# Times that a reply which breaks off in the middle is asked for again, where nobody has seen its beginning
DROPS = 2
JSON_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
# Prefix of the ids of messages that the person wrote. No model chooses an id
PERSON = "person-"
# And of those that the system wrote
NOTE = "note-"
# Names of models whose chat templates begin the thoughts, so that only their end would tell
THINKS = re.compile(r"(?<![a-z0-9])(?:r1|qwq|think\w*|reason\w*)(?![a-z0-9])", re.IGNORECASE)
# And how thoughts begin and end in the text
TAGS = ("<thinking>", "</thinking>", "[think]", "[/think]")
# Whole words, as the guard of addresses sees them: what follows a full-width comma would belong to an address before it
WORDS = re.compile(r".*\s", re.DOTALL)
# What may be shown of one that goes on, also of the sentences of a script without spaces: it is no part of an address or of markup yet
BEGUN = regex.compile(
    r"(?:[^./:@\\%&<\]／＠\p{Cs}\p{Cf}\p{Default_Ignorable_Code_Point}]|[.:%](?=\w*[^\x00-\x7f])|\](?=[\[，、；！？。\u3040-\u30ff\u4e00-\u9fff])){0,1000}"  # noqa: RUF001
)


class MeteredChatModel(ChatWrapper):
    """`inner`, each call reserved, streamed and charged to the current run (`orchestration.run.run.current_run`). Raises what `inner`
    raises, BudgetExceeded (the call does not fit into what is left to the run or the day), RuntimeError (there is no run, or a call
    without `await` on the run's event loop).
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    inner: BaseChatModel
    told: bool = True
    """Whether the words are streamed to the caller of the agent."""
    tenants: Mapping[str, BaseChatModel] = Field(default_factory=dict)
    """The models that judge for tenants with one of their own, in place of `inner`."""
    thinks: dict[str, bool] = Field(default_factory=dict)
    """Whether models, by name, were seen to write the end of thoughts whose beginning nobody saw."""
    response_format: dict[str, Any] | None = None
    """The format that the provider holds its replies to, as in Chat Completions; `None`: any."""

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        run = current_run()
        # an agent whose author wrote no prompt has an empty one, which providers refuse
        messages = [it for it in messages if it.text.strip() or not isinstance(it, SystemMessage)]
        if stop and getattr(self.primary, "use_responses_api", False):  # LangChain leaves it out without a word
            raise InvalidRequest(
                f'The Responses API, by which {self.model_name} is called, takes no "stop". Leave it out.'
            )
        if run_manager is not None:  # else a judge's, which checks an answer and takes no step
            run.budget.step()
        if identity(self.primary)[0] == "anthropic" and (kwargs.get("temperature") or 0) > 1:
            raise InvalidRequest(
                f'"temperature" is {kwargs["temperature"]}, and {self.model_name} takes none above 1. Send less.'
            )
        run.bill.calls += 1
        kwargs |= self._format_arguments()

        async def open_stream() -> Chunks:
            async with aclosing(stream_of(self.inner, messages, stop, kwargs)) as generations:
                # after the first chunk telemetry's handler only counts gaps, which costs more than passing the words on
                listeners = run_manager.handlers if run_manager else []
                others = any(not type(handler).__module__.startswith("opentelemetry.") for handler in listeners)
                first = True
                async for generation in generations:
                    if run_manager is not None and (first or others):
                        await run_manager.on_llm_new_token(generation.text, chunk=generation)
                    first = False
                    message = cast("AIMessageChunk", generation.message)
                    message.response_metadata = metadata_of(generation)
                    yield message

        message = await self._hear(messages, open_stream, kwargs)
        if isinstance(message.content, str):
            message.content = encodable(message.content)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _hear(
        self, messages: list[BaseMessage], open_stream: Callable[[], Chunks], kwargs: Mapping[str, Any]
    ) -> AIMessage:
        """Return the whole reply. Where nobody reads it as it comes, one that breaks off in the middle is asked for again."""
        run = current_run()
        limits: dict[str, Any] = {"max_tokens": self.longest_reply(kwargs), "tools": kwargs.get("tools") or ()}
        for tries_left in range(DROPS, -1, -1):
            teller = Teller(run, messages, self)
            try:
                message = await run.bill.generate(messages, open_stream, **limits, seen=teller.tell, model=self.inner)
            except ComponentError as error:
                watched = run.request is not None and run.request.watched
                if watched or not (tries_left and error.retryable and teller.has_heard):
                    raise
                continue
            teller.end()
            return message
        raise AssertionError("The last try returns or raises.")

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        """Answer a judge, which calls from a thread: its words are streamed to nobody, and its call is charged on the run's event
        loop. Outside of a run, as in a benchmark, and after one, nothing is charged.
        """
        run = run_at_work.get()
        if run is None:
            return self.inner._generate(messages, stop, run_manager, **kwargs)
        inner = self.tenants.get(run.principal.tenant, self.inner)
        if (loop := run.bill.loop) is None:
            with on_behalf_of(run.principal.tenant):
                return inner._generate(messages, stop, run_manager, **kwargs)
        if asyncio._get_running_loop() is loop:  # it would wait for itself
            raise RuntimeError(
                "On the event loop, call the chat model by `ainvoke`; a judge is called in a thread: use in_thread."
            )

        async def pay_aside() -> ChatResult:
            with run.aside(silent=True) as aside, running(aside):
                return await MeteredChatModel(inner=inner, told=False)._agenerate(messages, stop, **kwargs)

        call = asyncio.run_coroutine_threadsafe(pay_aside(), loop)
        try:
            while True:
                check()
                try:
                    with waiting_for_loop():
                        return call.result(_LOOKS_S)
                except NotYet:
                    if call.done():  # in this moment, or it has ended in a timeout of its own
                        return call.result()
        finally:
            call.cancel()

    def _format_arguments(self) -> dict[str, Any]:
        # in `extra_body` where there is one: LangChain's OpenAI client otherwise wants strict tools
        wanted = {"response_format": self.response_format} if self.response_format else {}
        if "extra_body" not in type(self.primary).model_fields or getattr(self.primary, "use_responses_api", False):
            return wanted
        return {"extra_body": {**(getattr(self.primary, "extra_body", None) or {}), **wanted}} if wanted else {}

    def longest_reply(self, kwargs: Mapping[str, Any]) -> int:
        """Return the tokens to reserve for a reply: its stated limit, else `REPLY_TOKENS` or the model's maximum, whichever is lower."""
        most = (self.profile or {}).get("max_output_tokens") or REPLY_TOKENS
        return self.stated_reply(kwargs) or min(REPLY_TOKENS, most)

    def stated_reply(self, kwargs: Mapping[str, Any]) -> int | None:
        """Return the limit of a reply in tokens that is sent to the provider; `None`: none is."""
        model, sent = carry_settings(self.primary, dict(kwargs))
        return longest_reply(model, sent.get("max_tokens"))

    @property
    def primary(self) -> BaseChatModel:
        return self.inner.primary if isinstance(self.inner, ChatWrapper) else self.inner

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[Any, AIMessage]:
        """Bind tools in the format of `inner`. Raises NotImplementedError: the model calls no tools."""
        return cast("Runnable[Any, AIMessage]", self.bind(**bound_arguments(self.inner, tools, tool_choice, **kwargs)))


class Teller:
    """Streams the words of one call of the model, without addresses that the model did not read: a client that opens such a link could
    leak the conversation, and only a whole word shows it. What a model says that `thinks` is held back until its thoughts end, or the reply.
    """

    def __init__(self, run: Run, messages: Sequence[BaseMessage], model: MeteredChatModel) -> None:
        self._run, self._model, self._word, self._begun = run, model, "", ""
        self._at_head, self._said, self._heard = True, False, list[str]()
        self._splitter = CodeSplitter()
        self._addresses = cache(lambda: addresses_in(texts_read(messages, run)))
        # a class with such an option takes thoughts out itself
        stated = getattr(model.primary, "thinks", False) or bool(THINKS.search(model.model_name))
        self._holds = model.thinks.get(model.model_name, stated and not getattr(model.primary, "reasoning", None))

    def tell(self, chunk: AIMessageChunk) -> None:
        text = self._word + chunk.text if self._at_head else chunk.text
        self._heard.append(chunk.text)
        found = end_of_thoughts(text, max(0, len(self._word) - 64))
        ends = 0 < found < len(text)  # what follows the tag says whether it is one, so that one at the very end waits
        if self._at_head:
            # a server that sends thoughts apart leaves none in the text
            self._holds = not (ends or chunk.additional_kwargs.get("reasoning_content")) and self._holds
            may_think = THINKING.match(text) or any(tag.startswith(text.strip().lower()) for tag in TAGS)
            if self._holds or ((may_think or found) and not ends):
                self._word = text
                return
            text = without_thoughts(text).lstrip()
            self._at_head, self._word = not text, ""
        self._pass_on(text)

    def _pass_on(self, text: str, *, last: bool = False) -> None:
        """Emit code as it is, and of prose whole words."""
        for piece, is_code in self._splitter.split(text, last=last):
            if is_code:
                self._emit(self._word)
                self._tell(encodable(piece))
                self._word = ""
                continue
            prose = self._word + piece
            words = WORDS.match(prose)
            end = words.end() if words else 0
            self._emit(prose[:end])
            self._word = prose[end:]
        if (
            self._word and not last and not (self._said and self._word.isascii())
        ):  # nobody waits for the next word to see the first one
            self._emit_begun()

    @property
    def has_heard(self) -> bool:
        return bool(self._heard)

    def end(self) -> None:
        reply = "".join(self._heard)
        thinks = bool(end_of_thoughts(reply)) and not THINKING.match(reply)
        # not for good, or one tag in an answer would hold back the words of all later ones
        if thinks or (self._holds and reply):
            self._model.thinks[self._model.model_name] = thinks
        held, self._word = (without_thoughts(self._word), "") if self._at_head else ("", self._word)
        self._pass_on(held, last=True)
        self._emit(self._word)

    def _emit_begun(self) -> None:
        """Emit what there is of a word, up to what may make it an address."""
        begun = BEGUN.match(self._word)[0]  # it matches nothing, too
        if len(begun) > len(self._begun) and without_addresses(begun, Addresses) == begun:
            self._tell(begun[len(self._begun) :])
            self._begun = begun

    def _emit(self, text: str) -> None:
        if text:
            text = without_addresses(encodable(text), self._addresses)
            begins = text[: len(self._begun)].lower() == self._begun.lower()  # an address is told as it was read
            shown = text[: len(self._begun)] if begins else text.partition(REMOVED)[0]
            self._tell(text[len(shown if begins else commonprefix([shown, self._begun])) :])  # noqa: RUF071 - of words, not of paths
            self._begun = ""

    def _tell(self, text: str) -> None:
        run = self._run
        if text and self._model.told:
            self._said = True
            run.tell("token", token=text, round=run.bill.calls, answer_id=run.answer_id)


def texts_read(messages: Sequence[BaseMessage], run: Run) -> list[str]:
    """Return the texts that the model may take an address from: what the person said, passages, results of tools without what the
    model itself wrote into a call. Other messages may hold the model's own words, such as a draft to repair.
    """
    texts: list[str] = [message.text for message in messages if is_from_person(message)]
    texts += [run.state.get("question", ""), *(hit.chunk.text for hit in run.passages.hits.values())]
    own, read, seen = set[str](), set[str](), 0
    for message in messages:
        calls = json.dumps([call["args"] for call in getattr(message, "tool_calls", ())], ensure_ascii=False)
        if called := addresses_in(map(json.loads, JSON_STRING.findall(calls))):
            read |= addresses_in(texts[seen:]).keys()
            own.update(called.keys() - read)
            seen = len(texts)
        if isinstance(message, ToolMessage) or is_note(message):
            repeats = cache(lambda word: any(address in comparable(word) for address in own))
            texts.append(" ".join(word for word in message.text.split() if not repeats(word)))
    return texts


def is_from_person(message: BaseMessage) -> bool:
    """Whether it is in the person's own words, which other human messages, such as summaries, are not."""
    return isinstance(message, HumanMessage) and str(message.id).startswith(PERSON)


def is_note(message: BaseMessage) -> bool:
    """Whether the system wrote it, about something that came of an earlier call."""
    return isinstance(message, HumanMessage) and str(message.id).startswith(NOTE)


def calls_tools(chat: BaseChatModel) -> bool:
    """Whether the model calls tools, as far as is known: one whose profile does not say is tried."""
    return (chat.profile or {}).get("tool_calling") is not False
