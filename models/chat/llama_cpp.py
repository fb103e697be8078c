"""A GGUF model in this process: llama.cpp's HTTP server on loopback, called by LangChain's OpenAI client.

The bundled one is started by its first call, since most questions are answered without it.
"""
# ruff: noqa: SLF001 - LangChain spells the hooks of a chat model with an underscore

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from langchain_core.language_models import BaseChatModel, LangSmithParams, ModelProfile
from langchain_core.messages import AIMessage, BaseMessage, get_buffer_string
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from pydantic import Field, PrivateAttr, SecretStr

from foundation.components import Context
from foundation.errors import WeightsInvalid
from foundation.settings import BESIDE_STACK, Section
from models import weights
from models.resilience.bindings import rebind
from models.resilience.http_clients import clients, langchain_arguments

if TYPE_CHECKING:  # they take longer to import than all else that a question needs
    import xllamacpp  # type: ignore[import-untyped]  # it ships no stubs
    from langchain_openai import ChatOpenAI


class Options(Section):
    path: Path | None = Field(default=None, json_schema_extra=BESIDE_STACK)
    """A GGUF file; `None`: the bundled SmolLM2-135M-Instruct."""
    sha256: str | None = None
    """SHA-256 that pins your own file; the bundled one is always pinned."""
    adapter: Path | None = Field(default=None, json_schema_extra=BESIDE_STACK)
    """A LoRA adapter as GGUF, made for these weights, as by `make finetune PART=chat`. The model's name then ends in
    a plus sign and the file's name."""
    adapter_sha256: str | None = None
    """SHA-256 that pins the adapter."""
    context_tokens: int = Field(default=4096, ge=256)
    """Most tokens of prompt and reply of one request together."""
    slots: int = Field(default=2, ge=1)
    """Number of parallel requests, each with its own context."""
    threads: int | None = Field(default=None, ge=1)
    """Number of threads; `None`: one less than the system's, at least one. llama.cpp's threads spin while they wait for each
    other, so that one busy core too many costs a factor of ten: 4 tokens a second instead of 50, on two busy cores."""
    temperature: float = Field(default=0, ge=0)
    seed: int | None = None
    max_tokens: int = Field(default=512, ge=1)
    """Most tokens of one reply, since a small model may never stop by itself."""
    reuse_prompts: bool = False
    """Whether the evaluated beginning of a prompt is reused for the next. Faster, but replies may then depend on earlier requests."""
    read_timeout_s: float = Field(default=120, gt=0)


class Server:
    """llama.cpp's server and its client, made at the first use, from then on shared by all copies of the model."""

    def __init__(
        self, start: Callable[[], xllamacpp.Server], connect: Callable[[xllamacpp.Server], ChatOpenAI]
    ) -> None:
        self._start, self._connect = start, connect
        self._lock = threading.Lock()
        self._process: xllamacpp.Server | None = None
        self._client: ChatOpenAI | None = None

    def client(self) -> ChatOpenAI:
        """Return the client, once the server listens (half a second at the first use). Raises WeightsInvalid."""
        with self._lock:
            if self._client is None:
                self._process = self._start()
                self._client = self._connect(self._process)
            return self._client

    def close(self) -> None:
        """Stop the server and free the model. A second call does nothing."""
        self._process = None  # its destructor joins the server's threads
        if self._client is not None and self._client.http_client is not None:
            self._client.http_client.close()


class LlamaCppChat(BaseChatModel):
    """A model that `server` serves. The fields that a call may set are those of LangChain's OpenAI client, which it calls."""

    local: ClassVar[bool] = True

    model_name: str
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    reasoning_effort: str | None = None
    extra_body: dict[str, Any] = Field(default_factory=dict)
    _server: Server = PrivateAttr()

    @property
    def _llm_type(self) -> str:
        return "llama-cpp"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return self._settings()

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        return {**params, "ls_provider": "llama_cpp", "ls_model_name": self.model_name}

    def client(self) -> ChatOpenAI:
        """Return the client of the server, which is started where it does not run, with this model's settings."""
        return self._server.client().model_copy(update=self._settings())

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in LlamaCppChat.__annotations__ if name in LlamaCppChat.model_fields}

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        return self.client()._generate(messages, stop, run_manager, **kwargs)

    def _stream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        yield from self.client()._stream(messages, stop, run_manager, **kwargs)

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        client = await asyncio.to_thread(self.client)
        return await client._agenerate(messages, stop, run_manager, **kwargs)

    async def _astream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        client = await asyncio.to_thread(self.client)
        async for chunk in client._astream(messages, stop, run_manager, **kwargs):
            yield chunk

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[Any, AIMessage]:
        client = self.client()
        return rebind(client.bind_tools(tools, tool_choice=tool_choice, **kwargs), client, self)

    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **kwargs: Any) -> Runnable[Any, Any]:
        client = self.client()
        return rebind(client.with_structured_output(schema, include_raw=include_raw, **kwargs), client, self)

    def get_token_ids(self, text: str) -> list[int]:
        """Return token ids by the model's own tokenizer; the client's would download OpenAI's."""
        return list(self._ask("POST", "tokenize", json={"content": text})["tokens"])

    def get_num_tokens_from_messages(self, messages: Any, tools: Any = None, **_: Any) -> int:  # noqa: ARG002
        """Return the number of tokens of the messages, without the template's marks; `tools` are not counted."""
        return sum(len(self.get_token_ids(get_buffer_string([message]))) for message in messages)

    def has_tool_template(self) -> bool:
        """Whether the weights' chat template has tools. Where not, as in the bundled model, llama.cpp leaves them out in silence."""
        return bool(self._ask("GET", "props")["chat_template_caps"]["supports_tools"])

    def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        client = self.client()
        assert isinstance(client.openai_api_key, SecretStr)
        address, key = str(client.openai_api_base).removesuffix("/v1"), client.openai_api_key.get_secret_value()
        headers = {"Authorization": f"Bearer {key}"}
        reply = client.http_client.request(method, f"{address}/{path}", headers=headers, **options)  # type: ignore[union-attr]
        content: dict[str, Any] = reply.raise_for_status().json()
        return content

    def close(self) -> None:
        self._server.close()


def build(options: Options, context: Context) -> BaseChatModel:
    """Check the weights and return the model that calls the server. Weights or an adapter of one's own are loaded at once: whether they
    fit, and call tools, is not known before.
    """
    bundled = options.path is None
    path = weights.SMOLLM2.verify() if options.path is None else weights.verify(options.path, options.sha256)
    name = weights.SMOLLM2.name if bundled else path.stem
    if options.adapter is not None:
        weights.check_adapter(options.adapter, options.adapter_sha256, base=path)
        name += f"+{options.adapter.stem}"
    key, threads = secrets.token_urlsafe(32), options.threads or max(1, context.threads - 1)
    model = LlamaCppChat(
        model_name=name,
        temperature=options.temperature,
        seed=context.seed if options.seed is None else options.seed,
        max_tokens=options.max_tokens,
        extra_body={"cache_prompt": options.reuse_prompts},
        profile=ModelProfile(max_input_tokens=options.context_tokens, structured_output=True, tool_calling=False),
    )
    model._server = Server(
        lambda: _start(path, name=name, key=key, options=options, threads=threads),
        lambda server: _connect(server, name, key, options),
    )
    if not bundled or options.adapter is not None:
        model.profile = ModelProfile(**{**(model.profile or {}), "tool_calling": model.has_tool_template()})
    return model


def _connect(server: xllamacpp.Server, name: str, key: str, options: Options) -> ChatOpenAI:
    from langchain_openai import ChatOpenAI

    connections = clients(connect_s=5, read_s=options.read_timeout_s, keep_alive=False, proxies=False)
    return ChatOpenAI(
        model=name,
        base_url=f"{server.listening_address}/v1",
        api_key=SecretStr(key),
        stream_usage=True,
        use_responses_api=False,
        **langchain_arguments(connections),
    )


def _start(path: Path, *, name: str, key: str, options: Options, threads: int) -> xllamacpp.Server:
    import xllamacpp

    # by default it has no key, admits any origin, and serves pages and metrics
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    if options.adapter is not None:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(options.adapter), 1.0)]
    params.model_alias = {name}
    params.hostnames = ["127.0.0.1"]
    params.port = 0  # the kernel chooses
    params.api_keys = [key]
    params.cors_origins, params.cors_origins_explicit, params.cors_credentials = "", True, False
    params.endpoint_slots = params.endpoint_props = params.endpoint_metrics = params.ui = False
    params.offline = True
    params.verbosity = -1
    params.n_ctx, params.n_parallel = options.context_tokens * options.slots, options.slots
    params.fit_params = False
    params.cache_ram_mib = 256 if options.reuse_prompts else 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.n_threads_http = 2 + 2 * options.slots
    try:
        return xllamacpp.Server(params)
    except (RuntimeError, ValueError) as error:
        raise WeightsInvalid(
            f"llama.cpp could not load {path}{f' with the adapter {options.adapter}' if options.adapter else ''} and a "
            f"context of {params.n_ctx} tokens: {str(error).rstrip('.')}. Check that the file is a complete GGUF chat model, that an adapter "
            f"was made for it, and that the memory suffices."
        ) from error
