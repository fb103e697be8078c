"""The server of a load test: the whole system in a process and a data folder of its own.

    python -m lab.load.server_process ORDER       ORDER is JSON: stack, overrides, corpus

It prints one line of JSON (addresses, keys), serves until SIGTERM, and answers lines on standard input with the times of
the same work done in this process, without HTTP: `search 3` and `answer 0`, by the number of the question.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import SecretStr

from foundation.types import Principal
from serving.api.answers import AskRequest
from serving.api.search import SearchRequest

if TYPE_CHECKING:
    from serving.wiring import System

TENANT = "load"
QUESTIONS = (
    "How long is the warranty?",
    "How can I return a product?",
    "What does delivery cost?",
    "How do I reset the device?",
    "Which payment methods are there?",
    "How long does a refund take?",
)


def main() -> None:
    from foundation.machine import process
    from serving.access.identity import KeyStore
    from serving.http.listening import base_url, bind
    from serving.server import serve
    from serving.settings import load
    from serving.wiring import open_system

    process.keep_what_is_imported()  # as any command does
    order = json.loads(sys.argv[1])
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints goes to standard error
    loaded = load(Path(order["stack"]), overrides=order["overrides"])
    chat = order["overrides"]["models"]["chat"]
    with open_system(loaded) as system, bind(system.settings.serving.http) as listening, _empty_app(chat) as empty:
        chunks = _ingest(system, order["corpus"])
        keys = KeyStore.of(system.settings, system.context.clock)
        told = {
            "url": base_url(system.settings.serving.http, listening),
            "empty_url": empty,
            "key": keys.create(subject="caller", tenant=TENANT, roles=["reader"]),
            "operator": keys.create(subject="operator", tenant=TENANT, roles=["operator"]),
            "chunks": chunks,
            "pid": os.getpid(),
        }
        _say(out, told)
        threading.Thread(target=_obey, args=(system, out), daemon=True).start()
        serve(system, listening)


def _ingest(system: System, corpus: str) -> int:
    from retrieval.ingest.folders import read_folder

    return system.retrieval.ingestor.ingest(read_folder(Path(corpus), tenant=TENANT)).chunks


def _obey(system: System, out: Any) -> None:
    """Do the work that standard input asks for, and tell its milliseconds."""
    from orchestration.requests import AnswerRequest
    from orchestration.run.answering import answer

    person = Principal("in process", TENANT, frozenset({"reader"}))

    async def ask(question: str) -> None:
        await answer(system.agent, AnswerRequest(question=question, compose="extractive"), person)

    loop = asyncio.new_event_loop()
    work: dict[str, Callable[[str], Any]] = {
        "search": lambda query: system.retriever.retrieve(query, system.policy.scope(person), limit=10),
        "answer": lambda query: loop.run_until_complete(ask(query)),
    }
    for line in sys.stdin:
        kind, _, number = line.partition(" ")
        _say(out, {"ms": _timed(work[kind], QUESTIONS[int(number)])})
    loop.close()


def _timed(work: Callable[[str], Any], query: str) -> float:
    begun = time.perf_counter()
    work(query)
    return (time.perf_counter() - begun) * 1000


@contextmanager
def _empty_app(chat: Mapping[str, Any]) -> Iterator[str]:
    """A FastAPI application that does nothing, served as ours is, for what HTTP costs by itself; and passes a model's words on, for
    what LangChain and the vendor's client cost by themselves.
    """
    import uvicorn

    from serving.http.listening import base_url, bind
    from serving.settings import HttpSettings

    http = HttpSettings(port=0)
    config = uvicorn.Config(
        _nothing(chat), log_level="warning", access_log=False, server_header=False, ws="none", lifespan="off"
    )
    server = uvicorn.Server(config)
    with bind(http) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield base_url(http, listening)
        finally:
            server.should_exit = True
            thread.join(10)


def _nothing(chat: Mapping[str, Any]) -> FastAPI:
    app = FastAPI(openapi_url=None, telemetry={"operation_spans": False, "logs": False, "exclude": lambda _: True})

    @app.post("/v1/search")
    def search(body: SearchRequest) -> dict[str, bool]:  # noqa: ARG001 - read and checked, as ours is
        return {"empty": True}

    @app.post("/v1/answers")
    async def ask(body: AskRequest) -> dict[str, bool]:  # noqa: ARG001
        return {"empty": True}

    @app.post("/v1/words")
    async def pass_words_on(body: AskRequest) -> StreamingResponse:
        from langchain_openai import ChatOpenAI

        model = ChatOpenAI(base_url=chat["base_url"], model=chat["model"], api_key=SecretStr("none"), max_retries=0)

        async def words() -> AsyncIterator[str]:
            async for chunk in model.astream(body.question):
                if chunk.text:
                    yield f"data: {json.dumps({'token': chunk.text})}\n\n"

        return StreamingResponse(words(), media_type="text/event-stream")

    return app


def _say(out: Any, said: dict[str, Any]) -> None:
    out.write(json.dumps(said) + "\n")
    out.flush()


if __name__ == "__main__":
    main()
