"""A chat provider on loopback that fails on command. It speaks OpenAI's and Anthropic's API, as far as tests need it.

with FaultyProvider(status(429, {"Retry-After": "7"}), ok("fine")) as provider:
    ...  # the first request gets the 429, every later one the reply
"""

from __future__ import annotations

import json
import re
import select
import socket
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Behaviour = Callable[["_Handler"], None]
SIGNATURE = "signed-by-the-double"
"""Of thoughts, which must come back as they were."""


class FaultyProvider:
    """Each request gets the next behaviour, the last one for ever. `requests` holds (path, headers, body) of each."""

    def __init__(self, *behaviours: Behaviour, keeps_connections: bool = False) -> None:
        self.behaviours = list(behaviours)
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.billed: list[dict[str, Any]] = []
        """What `metered` replies have cost: the model, and tokens by kind."""
        self.released = threading.Event()
        self.go_on = threading.Event()
        """Lets `halves` send its second half."""
        self.left = threading.Event()
        """Set when a caller has closed the connection of a request that `hang` or `stall` holds."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _KeepingHandler if keeps_connections else _Handler)
        self._server.provider = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        provider: FaultyProvider = self.server.provider  # type: ignore[attr-defined]
        self.body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        turn = min(len(provider.requests), len(provider.behaviours) - 1)
        provider.requests.append((self.path, dict(self.headers), self.body))
        self.provider = provider
        provider.behaviours[turn](self)

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""

    def send(self, code: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def begin_stream(self, events: Sequence[bytes]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in events:
            self.wfile.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
        self.wfile.flush()

    def wait_for_the_caller_to_leave(self) -> None:
        waiting = select.poll()  # takes any number of file, which `select` does not after a thousand
        waiting.register(self.connection, select.POLLIN)
        while not self.provider.released.is_set():
            if waiting.poll(20):
                self.provider.left.set()  # a caller who waits for a reply sends nothing but its end
                return

    def break_off(self) -> None:
        """Reset the connection instead of closing it."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
        self.wfile = self.rfile = _Nowhere()  # type: ignore[assignment]  # the base class flushes what is gone


class _KeepingHandler(_Handler):
    protocol_version = "HTTP/1.1"


class _Nowhere:
    closed = True

    def flush(self) -> None: ...
    def close(self) -> None: ...


def status(code: int, headers: Mapping[str, str] | None = None) -> Behaviour:
    body = json.dumps({"type": "error", "error": {"type": "error", "message": f"the provider says {code}"}}).encode()
    return lambda handler: handler.send(code, body, {"Content-Type": "application/json", **(headers or {})})


def garbage(
    body: bytes = b"<html>Please log in to the hotel's network</html>", kind: str = "application/json"
) -> Behaviour:
    return lambda handler: handler.send(200, body, {"Content-Type": kind})


def reset() -> Behaviour:
    return lambda handler: handler.break_off()


def hang() -> Behaviour:
    """Accept the request and say nothing until the caller leaves or the provider is closed."""

    def wait(handler: _Handler) -> None:
        handler.wait_for_the_caller_to_leave()
        handler.break_off()

    return wait


def stall(text: str) -> Behaviour:
    """A stream that says all of `text` and then neither goes on nor ends."""

    def reply(handler: _Handler) -> None:
        try:
            handler.begin_stream(_events(handler, text)[: 1 + len(text.split())])
            handler.wait_for_the_caller_to_leave()
        except ConnectionError:  # the caller left while the text was still being sent
            handler.provider.left.set()
        handler.break_off()

    return reply


def ok(text: str) -> Behaviour:
    """A whole reply, or a stream of two words and the rest if one was asked for."""

    def reply(handler: _Handler) -> None:
        if handler.body.get("stream"):
            handler.send(200, b"".join(_events(handler, text)), {"Content-Type": "text/event-stream"})
        else:
            handler.send(200, json.dumps(_whole(handler, text)).encode(), {"Content-Type": "application/json"})

    return reply


def ends_early(text: str, *, left_out: int) -> Behaviour:
    """A stream without its last events, which closes as a whole one does."""

    def reply(handler: _Handler) -> None:
        handler.send(200, b"".join(_events(handler, text)[:-left_out]), {"Content-Type": "text/event-stream"})

    return reply


def halves(text: str) -> Behaviour:
    """A stream that says half of its words, and the rest once `go_on` is set."""

    def reply(handler: _Handler) -> None:
        events = _events(handler, text)
        middle = len(events) // 2
        handler.begin_stream(events[:middle])
        handler.provider.go_on.wait(60)
        for event in events[middle:]:
            handler.wfile.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
        handler.wfile.write(b"0\r\n\r\n")
        handler.wfile.flush()

    return reply


def strict(behaviour: Behaviour) -> Behaviour:
    """The behaviour, for a request that the vendor's own API takes; any other gets its 400."""

    def reply(handler: _Handler) -> None:
        faults = _anthropic_faults(handler.body) if _is_anthropic(handler) else openai_faults(handler.body)
        if faults:
            body = {"type": "error", "error": {"type": "invalid_request_error", "message": "; ".join(faults)}}
            handler.send(400, json.dumps(body).encode(), {"Content-Type": "application/json"})
        else:
            behaviour(handler)

    return reply


def in_turns(behaviour: Behaviour) -> Behaviour:
    """The behaviour, behind a chat template as Gemma's and Mistral's: person and model take turns, calls and their results aside."""

    def reply(handler: _Handler) -> None:
        said = [message for message in handler.body["messages"] if message["role"] != "system"]
        roles = [message["role"] for message in said if message["role"] != "tool" and not message.get("tool_calls")]
        if roles != (["user", "assistant"] * len(roles))[: len(roles)]:
            text = "Conversation roles must alternate user/assistant/user/assistant/..."
            handler.send(400, json.dumps({"error": {"message": text}}).encode(), {"Content-Type": "application/json"})
        else:
            behaviour(handler)

    return reply


def openai_faults(body: Mapping[str, Any]) -> list[str]:
    """What Chat Completions answers with a 400."""
    faults, open_calls = [], set()
    for message in body["messages"]:
        role, content = message["role"], message.get("content")
        if role == "tool":
            if message["tool_call_id"] not in open_calls:
                faults.append("a tool result without its call")
            open_calls.discard(message["tool_call_id"])
            continue
        if open_calls:
            faults.append("a call without its result")
        open_calls = {call["id"] for call in message.get("tool_calls") or ()}
        if not content and not open_calls:
            faults.append("an empty message")
        if isinstance(content, list) and not all(isinstance(block, dict) for block in content):
            faults.append("a block of content that is no object")
        faults += _faults_of_calls(message.get("tool_calls") or ())
    if open_calls:
        faults.append("a call without its result at the end")
    if "max_tokens" in body and "max_completion_tokens" in body:
        faults.append("max_tokens beside max_completion_tokens")
    if body.get("tool_choice") and not body.get("tools"):
        faults.append("tool_choice without tools")
    return faults


def _faults_of_calls(calls: Sequence[Mapping[str, Any]]) -> list[str]:
    faults = []
    if any(_is_no_json(call["function"]["arguments"]) for call in calls):
        faults.append("arguments that are no JSON")
    if len({call["id"] for call in calls}) < len(calls):
        faults.append("two calls of one id")
    return faults


def _anthropic_faults(body: Mapping[str, Any]) -> list[str]:
    """What Messages answers with a 400."""
    faults, open_calls, last = [], set(), ""
    for message in body["messages"]:
        blocks = (
            message["content"]
            if isinstance(message["content"], list)
            else [{"type": "text", "text": message["content"]}]
        )
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if set(results) != open_calls or len(results) != len(set(results)):
            faults.append("tool_result blocks that are not those of the tool_use blocks before")
        if results and any(block["type"] != "tool_result" for block in blocks[: len(results)]):
            faults.append("tool_result blocks behind others")
        if any(block["type"] == "text" and not block["text"].strip() for block in blocks) or not blocks:
            faults.append("an empty text block")
        open_calls = {block["id"] for block in blocks if block["type"] == "tool_use"}
        last = message["role"]
        if "thinking" in body and open_calls and not _begins_with_signed_thoughts(blocks):
            faults.append("tool_use blocks whose thinking block is missing, changed or not the first")
    if body["messages"][0]["role"] != "user":
        faults.append("the first message is not the user's")
    if open_calls or last == "assistant":
        faults.append("the conversation ends with the assistant")
    used = any("tool_use" in json.dumps(message) for message in body["messages"])
    if used and not body.get("tools"):
        faults.append("tool_use blocks without tools")
    if "max_tokens" not in body:
        faults.append("no max_tokens")
    return faults


def _begins_with_signed_thoughts(blocks: Sequence[Mapping[str, Any]]) -> bool:
    signed = [block.get("signature") for block in blocks if block["type"] == "thinking"]
    return signed == [SIGNATURE] and blocks[0]["type"] == "thinking"


def _is_no_json(text: str) -> bool:
    try:
        return not isinstance(json.loads(text), dict)
    except ValueError:
        return True


def metered(
    text: str,
    *,
    read: int,
    wrote: int,
    cached: int = 0,
    kept: int = 0,
    reasoning: int = 0,
    upto: int | None = None,
    totals: bool = False,
) -> Behaviour:
    """A reply or stream that is billed: the provider knows what it has read and written, tells it as its API does, and keeps it in
    `billed`. `read` includes what was `cached` and what is `kept` for later. `upto`: it breaks off after so many events,
    having billed them. `totals`: Anthropic's end repeats what was read, as its own API does and not every server of it.
    """

    def reply(handler: _Handler) -> None:
        bill = {"read": read, "wrote": wrote, "cached": cached, "kept": kept, "reasoning": reasoning}
        handler.provider.billed.append({"model": handler.body["model"], **bill})
        if _is_anthropic(handler):
            usage: dict[str, Any] = {"input_tokens": read - cached - kept, "output_tokens": wrote,
                                     "cache_read_input_tokens": cached, "cache_creation_input_tokens": kept}  # fmt: skip
        else:
            usage = {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote,
                     "prompt_tokens_details": {"cached_tokens": cached},
                     "completion_tokens_details": {"reasoning_tokens": reasoning}}  # fmt: skip
        if not handler.body.get("stream"):
            whole = json.dumps(_whole(handler, text) | {"usage": usage}).encode()
            handler.send(200, whole, {"Content-Type": "application/json"})
            return
        events = _events(handler, text, usage=usage, totals=totals)
        if upto is None:
            handler.send(200, b"".join(events), {"Content-Type": "text/event-stream"})
            return
        handler.begin_stream(events[:upto])
        handler.wait_for_the_caller_to_leave()
        handler.break_off()

    return reply


def calls(tool: str, **arguments: Any) -> Behaviour:
    """A call of a tool instead of a text, in whole or as a stream of two parts."""

    def reply(handler: _Handler) -> None:
        given = json.dumps(arguments)
        if handler.body.get("stream"):
            events = _events(handler, "", call=(tool, given))
            handler.send(200, b"".join(events), {"Content-Type": "text/event-stream"})
        else:
            whole = json.dumps(_whole(handler, "", call=(tool, given))).encode()
            handler.send(200, whole, {"Content-Type": "application/json"})

    return reply


def at_limit(text: str = "", call: tuple[str, str] | None = None) -> Behaviour:
    """A stream that ends at its limit of tokens, in the middle of `text` or of a call (tool, what there is of its arguments)."""

    def reply(handler: _Handler) -> None:
        body = b"".join(_events(handler, text, call=call))
        for reason, ended in ENDS_AT_LIMIT.items():
            body = body.replace(f'_reason": "{reason}"'.encode(), f'_reason": "{ended}"'.encode())
        handler.send(200, body, {"Content-Type": "text/event-stream"})

    return reply


ENDS_AT_LIMIT = {"stop": "length", "tool_calls": "length", "end_turn": "max_tokens", "tool_use": "max_tokens"}


def thinks(
    text: str, *wanted: tuple[str, Mapping[str, Any]], reasoning: int, cached: int = 0, kept: int = 0
) -> Behaviour:
    """A streamed reply of a model that thinks first: Anthropic tells its thoughts, signed, and OpenAI how many tokens they took.
    Then come the text and calls of several tools at once.
    """

    def reply(handler: _Handler) -> None:
        make = _anthropic_thoughts if _is_anthropic(handler) else _openai_thoughts
        events = make(handler.body["model"], text, wanted, reasoning=reasoning, cached=cached, kept=kept)
        handler.send(200, b"".join(events), {"Content-Type": "text/event-stream"})

    return reply


def _anthropic_thoughts(
    model: str, text: str, wanted: Sequence[tuple[str, Mapping[str, Any]]], *, reasoning: int, cached: int, kept: int
) -> list[bytes]:
    usage = {"input_tokens": 100, "output_tokens": reasoning + 10,
             "cache_read_input_tokens": cached, "cache_creation_input_tokens": kept}  # fmt: skip
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
        (
            {"type": "thinking", "thinking": "", "signature": ""},
            [
                {"type": "thinking_delta", "thinking": "They want to know."},
                {"type": "signature_delta", "signature": SIGNATURE},
            ],
        )
    ]
    if text:
        blocks.append(({"type": "text", "text": ""}, [{"type": "text_delta", "text": text}]))
    for number, (tool, arguments) in enumerate(wanted):
        block = {"type": "tool_use", "id": f"t{number}", "name": tool, "input": {}}
        blocks.append((block, [{"type": "input_json_delta", "partial_json": json.dumps(arguments)}]))
    message = {"id": "m1", "type": "message", "role": "assistant", "model": model, "content": [], "stop_reason": None,
               "stop_sequence": None, "usage": {**usage, "output_tokens": 1}}  # fmt: skip
    events: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
    for index, (block, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    stop = {"stop_reason": "tool_use" if wanted else "end_turn", "stop_sequence": None}
    details = {"output_tokens_details": {"thinking_tokens": reasoning}}
    events.append({"type": "message_delta", "delta": stop, "usage": {**usage, **details}})
    events.append({"type": "message_stop"})
    return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]


def _openai_thoughts(
    model: str, text: str, wanted: Sequence[tuple[str, Mapping[str, Any]]], *, reasoning: int, cached: int, kept: int
) -> list[bytes]:
    read = 100 + cached + kept  # this API counts what was cached among what was read, and knows of no writes
    usage = {"prompt_tokens": read, "completion_tokens": reasoning + 10, "total_tokens": read + reasoning + 10,
             "prompt_tokens_details": {"cached_tokens": cached},
             "completion_tokens_details": {"reasoning_tokens": reasoning}}  # fmt: skip
    called = [
        {"index": number, "id": f"t{number}", "type": "function",
         "function": {"name": tool, "arguments": json.dumps(arguments)}}
        for number, (tool, arguments) in enumerate(wanted)
    ]  # fmt: skip
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": text}]
    deltas += [{"tool_calls": [call]} for call in called]
    frame = {"id": "c1", "object": "chat.completion.chunk", "created": 0, "model": model}
    frames = [{**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    end = {"index": 0, "delta": {}, "finish_reason": "tool_calls" if wanted else "stop" if text else "length"}
    frames += [{**frame, "choices": [end]}, {**frame, "choices": [], "usage": usage}]
    return [f"data: {json.dumps(each)}\n\n".encode() for each in frames] + [b"data: [DONE]\n\n"]


def vectors(tokens: object = 1) -> Behaviour:
    """For each text a vector of its length and its place, the last one first, as the API allows it; each reply names so many tokens."""

    def reply(handler: _Handler) -> None:
        texts = handler.body["input"]
        found = [{"index": at, "embedding": [len(text), at]} for at, text in enumerate(texts)]
        body = {"object": "list", "data": found[::-1], "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
        handler.send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    return reply


def cut(text: str, *, events: int = 3) -> Behaviour:
    """A stream that breaks off after its first events."""

    def reply(handler: _Handler) -> None:
        handler.begin_stream(_events(handler, text)[:events])
        handler.provider.released.wait(0.2)  # or the reset overtakes what was sent
        handler.break_off()

    return reply


def _is_anthropic(handler: _Handler) -> bool:
    return handler.path.endswith("/messages")


def _whole(handler: _Handler, text: str, call: tuple[str, str] | None = None) -> dict[str, Any]:
    model = handler.body.get("model", "")
    if _is_anthropic(handler):
        usage = {"input_tokens": 3, "output_tokens": 2}
        content: dict[str, Any] = {"type": "text", "text": text}
        if call:
            written = {} if _is_no_json(call[1]) else json.loads(call[1])  # streams tell the text alone
            content = {"type": "tool_use", "id": "t1", "name": call[0], "input": written}
        return {"id": "m1", "type": "message", "role": "assistant", "model": model, "content": [content],
                "stop_reason": "tool_use" if call else "end_turn", "stop_sequence": None, "usage": usage}  # fmt: skip
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if call:
        function = {"name": call[0], "arguments": call[1]}
        message = {"role": "assistant", "content": None,
                   "tool_calls": [{"id": "t1", "type": "function", "function": function}]}  # fmt: skip
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    choices = [{"index": 0, "message": message, "finish_reason": "tool_calls" if call else "stop"}]
    return {"id": "c1", "object": "chat.completion", "created": 0, "model": model, "choices": choices, "usage": usage}


def _events(
    handler: _Handler,
    text: str,
    call: tuple[str, str] | None = None,
    *,
    usage: Mapping[str, Any] | None = None,
    totals: bool = False,
) -> list[bytes]:
    whole = _whole(handler, text, call)
    usage = whole["usage"] if usage is None else usage
    words = re.findall(r"\S+\s*", f"{text} ")
    halves = (call[1][: len(call[1]) // 2], call[1][len(call[1]) // 2 :]) if call else ()
    if _is_anthropic(handler):
        empty = {"type": "tool_use", "id": "t1", "name": call[0], "input": {}} if call else {"type": "text", "text": ""}
        deltas = [{"type": "input_json_delta", "partial_json": half} for half in halves] or [
            {"type": "text_delta", "text": word} for word in words
        ]
        events: list[dict[str, Any]] = [
            {
                "type": "message_start",
                "message": whole | {"content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}},
            },
            {"type": "content_block_start", "index": 0, "content_block": empty},
            *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": whole["stop_reason"]},
                "usage": usage if totals else {"output_tokens": usage["output_tokens"]},
            },
            {"type": "message_stop"},
        ]
        return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]
    parts: list[dict[str, Any]] = [{"role": "assistant", "content": word} for word in words]
    for half in halves:
        named = {"id": "t1", "type": "function"} if half is halves[0] else {}
        function = {"arguments": half} | ({"name": call[0]} if call and named else {})
        parts.append({"role": "assistant", "tool_calls": [{"index": 0, **named, "function": function}]})
    frame = {"id": "c1", "object": "chat.completion.chunk", "created": 0, "model": whole["model"]}
    pieces: list[dict[str, Any]] = [{"index": 0, "delta": part, "finish_reason": None} for part in parts]
    pieces.append({"index": 0, "delta": {}, "finish_reason": whole["choices"][0]["finish_reason"]})
    frames = [{**frame, "choices": [piece]} for piece in pieces]
    frames.append({**frame, "choices": [], "usage": usage})
    return [f"data: {json.dumps(each)}\n\n".encode() for each in frames] + [b"data: [DONE]\n\n"]
