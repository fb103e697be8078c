"""Five more protocols of chat models for `FaultyProvider`: Ollama's, Mistral's, Gemini's, OpenAI's Responses and Bedrock's, each with the 400s of its
own API. The address that is asked decides which one it is.

with FaultyProvider(says("", ("search", {"query": "parcels"}), thoughts="Let me look."), says("It ships.")) as provider: ...
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from tests.doubles import bedrock
from tests.doubles.bedrock import READ, SEAL, THOUGHT, WROTE, Wanted
from tests.doubles.provider import Behaviour, openai_faults


def says(text: str, *wanted: Wanted, thoughts: str = "", breaks_after: int | None = None) -> Behaviour:
    """A reply of thoughts, words and calls of tools at once, in whole or as a stream in the vendor's own pieces. `breaks_after`
    so many of them the vendor tells of an error of its own, in the stream.
    """

    def reply(handler: Any) -> None:
        if "/converse" in handler.path:
            bedrock.reply(handler, text, wanted, thoughts, breaks_after)
            return
        kind, faults_of, pieces_of, error = next(vendor for path, vendor in VENDORS.items() if path in handler.path)
        turn = len(handler.provider.requests)
        if faults := faults_of(handler.body):
            body = json.dumps(error("; ".join(faults), 400) | {"object": "error"}).encode()
            handler.send(400, body, {"Content-Type": "application/json"})
            return
        pieces = pieces_of(handler.body, text, wanted, thoughts, turn)
        if not (handler.body.get("stream") or "stream" in handler.path):
            handler.send(200, json.dumps(_whole(pieces)).encode(), {"Content-Type": "application/json"})
            return
        if breaks_after is not None:
            pieces = [*pieces[:breaks_after], error("the double broke off", 500)]
        lines = [json.dumps(piece) if kind == NDJSON else f"data: {json.dumps(piece)}\n" for piece in pieces]
        end = "data: [DONE]\n\n" if "/chat/completions" in handler.path and breaks_after is None else ""
        handler.send(200, ("\n".join(lines) + "\n" + end).encode(), {"Content-Type": kind})

    return reply


def _words(text: str) -> list[str]:
    return re.findall(r"\S+\s*", text)


def _whole(pieces: Sequence[Any]) -> Any:
    """The reply that is not streamed. Ollama's class never asks for one."""
    if "response" in pieces[-1]:
        return pieces[-1]["response"]
    if "candidates" not in pieces[-1]:
        return pieces[0]
    parts = [part for piece in pieces for part in piece["candidates"][0]["content"]["parts"]]
    return {**pieces[-1], "candidates": [{**pieces[-1]["candidates"][0], "content": {"role": "model", "parts": parts}}]}


# --- Ollama: lines of JSON; arguments are objects, calls and results have no ids ---------------------------------------


def _ollama_faults(body: Mapping[str, Any]) -> list[str]:
    faults = []
    for message in body["messages"]:
        calls = [call["function"]["arguments"] for call in message.get("tool_calls") or ()]
        if not isinstance(message.get("content", ""), str) or not all(isinstance(call, dict) for call in calls):
            faults.append("json: cannot unmarshal into Go struct field ChatRequest.messages")
    if body.get("tools") and "plain" in body["model"]:
        faults.append(f"registry.ollama.ai/library/{body['model']} does not support tools")
    if body.get("think") and "thinking" not in body["model"]:
        faults.append(f'"{body["model"]}" does not support thinking')
    if not isinstance(body.get("options", {}).get("num_predict", 1), int):
        faults.append('option "num_predict" must be of type integer')
    return faults


def _ollama(
    body: Mapping[str, Any], text: str, wanted: Sequence[Wanted], thoughts: str, turn: int
) -> list[dict[str, Any]]:
    del turn
    said: list[dict[str, Any]] = [{"content": "", "thinking": word} for word in _words(thoughts)]
    said += [{"content": word} for word in _words(text)]
    if wanted:
        calls = [{"function": {"name": name, "arguments": dict(arguments)}} for name, arguments in wanted]
        said.append({"content": "", "tool_calls": calls})
    frame = {"model": body["model"], "created_at": "2026-01-01T00:00:00Z"}
    pieces = [{**frame, "message": {"role": "assistant", **each}, "done": False} for each in said]
    counts = {"total_duration": 9, "load_duration": 1, "prompt_eval_count": READ, "eval_count": WROTE}
    last = {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}
    return [*pieces, {**frame, **last, **counts}]


# --- Mistral: Chat Completions with an order of roles and ids of nine characters ---------------------------------------

MISTRAL = {
    "model", "messages", "stream", "temperature", "top_p", "max_tokens", "stop", "random_seed", "safe_prompt", "tools", "tool_choice",
    "response_format", "n", "parallel_tool_calls", "presence_penalty", "frequency_penalty", "prompt_mode", "prediction",
}  # fmt: skip


def _mistral_faults(body: Mapping[str, Any]) -> list[str]:
    faults = openai_faults(body)
    faults += [f"{name}: Extra inputs are not permitted" for name in body.keys() - MISTRAL]
    roles = [message["role"] for message in body["messages"]]
    if ("tool", "user") in pairwise(roles):
        faults.append("Unexpected role 'user' after role 'tool'")
    if roles[-1] not in {"user", "tool"}:
        faults.append(f"Expected last role User or Tool for serving but got {roles[-1]}")
    for message in body["messages"]:
        ids = [message["tool_call_id"]] if message["role"] == "tool" else []
        for call in (*ids, *(call["id"] for call in message.get("tool_calls") or ())):
            if not re.fullmatch("[a-zA-Z0-9]{9}", call):
                faults.append(f"Tool call id was {call} but must be a-z, A-Z, 0-9, with a length of 9")
    return faults


def _mistral(
    body: Mapping[str, Any], text: str, wanted: Sequence[Wanted], thoughts: str, turn: int
) -> list[dict[str, Any]]:
    del thoughts
    calls = [
        {"id": f"m{turn:03}{number:05}", "index": number, "type": "function",
         "function": {"name": name, "arguments": json.dumps(arguments)}}
        for number, (name, arguments) in enumerate(wanted)
    ]  # fmt: skip
    usage = {"prompt_tokens": READ, "completion_tokens": WROTE, "total_tokens": READ + WROTE}
    frame = {"id": "m", "created": 0, "model": body["model"]}
    finish = {"finish_reason": "tool_calls" if wanted else "stop"}
    if not body.get("stream"):
        message = {"role": "assistant", "content": text, "tool_calls": calls or None}
        return [
            {
                **frame,
                "object": "chat.completion",
                "usage": usage,
                "choices": [{"index": 0, "message": message, **finish}],
            }
        ]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *({"content": word} for word in _words(text))]
    pieces = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    pieces.append({"index": 0, "delta": {"content": "", **({"tool_calls": calls} if calls else {})}, **finish})
    frames: list[dict[str, Any]] = [{**frame, "object": "chat.completion.chunk", "choices": [each]} for each in pieces]
    frames[-1]["usage"] = usage
    return frames


# --- Gemini: contents that take turns, results by name, a signature on the first call after thoughts -------------------


def _gemini_faults(body: Mapping[str, Any]) -> list[str]:
    faults: list[str] = []
    called: list[str] = []
    for content in body["contents"]:
        parts = content["parts"]
        results = [part["functionResponse"]["name"] for part in parts if "functionResponse" in part]
        if results != called:
            faults.append(
                "the number of function response parts must equal the number of function call parts of the function call turn"
            )
        called = [part["functionCall"]["name"] for part in parts if "functionCall" in part]
        if called and next(part for part in parts if "functionCall" in part).get("thoughtSignature") != SEAL:
            faults.append("Function call is missing a thought_signature in functionCall parts")
        if content["role"] not in {"user", "model"} or (called and content["role"] == "user"):
            faults.append("Please use a valid role: user, model")
        if not parts or any(part == {"text": ""} for part in parts):
            faults.append("contents.parts must not be empty")
    if called or body["contents"][-1]["role"] != "user":
        faults.append("contents must end with a user role or a function response")
    if body["contents"][0]["role"] != "user":
        faults.append("function call turn must come immediately after a user turn")
    return faults


def _gemini(
    body: Mapping[str, Any], text: str, wanted: Sequence[Wanted], thoughts: str, turn: int
) -> list[dict[str, Any]]:
    del body, turn
    parts: list[dict[str, Any]] = [{"text": word, "thought": True} for word in _words(thoughts)]
    parts += [{"text": word} for word in _words(text)]
    for number, (name, arguments) in enumerate(wanted):
        parts.append(
            {"functionCall": {"name": name, "args": dict(arguments)}} | ({} if number else {"thoughtSignature": SEAL})
        )
    thought = {"thoughtsTokenCount": THOUGHT} if thoughts else {}
    usage = {"promptTokenCount": READ, "candidatesTokenCount": WROTE, **thought,
             "totalTokenCount": READ + WROTE + thought.get("thoughtsTokenCount", 0)}  # fmt: skip
    pieces: list[dict[str, Any]] = [
        {"candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}]} for part in parts
    ]
    pieces.append(
        {"candidates": [{"content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": "STOP", "index": 0}]}
    )
    return [{**piece, "usageMetadata": usage, "modelVersion": "gemini-double", "responseId": "g"} for piece in pieces]


# --- OpenAI's Responses: items, of which a call needs its thoughts and its output ---------------------------------------


def _responses_faults(body: Mapping[str, Any]) -> list[str]:
    items = [item for item in body["input"] if isinstance(item, dict)] if isinstance(body["input"], list) else []
    kinds = [item.get("type", "message") for item in items]
    calls = [item["call_id"] for item in items if item.get("type") == "function_call"]
    outputs = [item["call_id"] for item in items if item.get("type") == "function_call_output"]
    faults = [
        f"No tool call found for function call output with call_id {each}." for each in outputs if each not in calls
    ]
    faults += [f"No tool output found for function call {each}." for each in calls if each not in outputs]
    thoughts = {item["id"].removeprefix("rs_"): item for item in items if item.get("type") == "reasoning"}
    for item, following in zip(items, [*kinds[1:], ""], strict=True):
        if item.get("type") == "reasoning" and following not in {"function_call", "message"}:
            faults.append(f"Item '{item['id']}' of type 'reasoning' was provided without its required following item.")
        if item.get("type") == "reasoning" and body.get("store") is False and item.get("encrypted_content") != SEAL:
            faults.append(
                f"Item with id '{item['id']}' not found. Items are not persisted when `store` is set to false."
            )
        owner = str(item.get("id", "")).partition("_")[2].partition("-")[0]
        if item.get("type") == "function_call" and owner.endswith("r") and owner not in thoughts:
            faults.append(f"Item '{item['id']}' was provided without its required 'reasoning' item: 'rs_{owner}'.")
        if item.get("type") == "function_call" and "reasoning" in body and not item.get("id"):
            faults.append("a function_call whose thoughts are not to be found, for it has no id")
    faults += [
        f"Unknown parameter: '{name}'." for name in ("max_tokens", "messages", "max_completion_tokens") if name in body
    ]
    faults += ["Missing required parameter: 'tools[0].name'." for tool in body.get("tools", ()) if "name" not in tool]
    return faults


def _responses(
    body: Mapping[str, Any], text: str, wanted: Sequence[Wanted], thoughts: str, turn: int
) -> list[dict[str, Any]]:
    mark = f"{turn}{'r' if thoughts else ''}"
    items: list[dict[str, Any]] = []
    if thoughts:
        sealed = {"encrypted_content": SEAL} if "reasoning.encrypted_content" in (body.get("include") or ()) else {}
        items.append(
            {"type": "reasoning", "id": f"rs_{mark}", "summary": [{"type": "summary_text", "text": thoughts}], **sealed}
        )
    if text:
        content = [{"type": "output_text", "text": text, "annotations": []}]
        items.append(
            {"type": "message", "id": f"msg_{mark}", "role": "assistant", "status": "completed", "content": content}
        )
    for number, (name, arguments) in enumerate(wanted):
        items.append({"type": "function_call", "id": f"fc_{mark}-{number}", "call_id": f"call_{turn}_{number}", "name": name,
                      "arguments": json.dumps(arguments), "status": "completed"})  # fmt: skip
    thought = THOUGHT if thoughts else 0
    usage = {"input_tokens": READ, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": WROTE + thought,
             "output_tokens_details": {"reasoning_tokens": thought}, "total_tokens": READ + WROTE + thought}  # fmt: skip
    frame = {"id": f"resp_{turn}", "object": "response", "created_at": 0, "model": body["model"], "status": "in_progress",
             "output": [], "tools": [], "tool_choice": "auto", "parallel_tool_calls": True, "usage": None}  # fmt: skip
    events: list[dict[str, Any]] = [{"type": "response.created", "response": frame}]
    for index, item in enumerate(items):
        empty = {key: value for key, value in item.items() if key not in {"content", "summary", "arguments"}}
        shell = {"content": [], "summary": [], "arguments": ""}
        events.append({"type": "response.output_item.added", "output_index": index,
                       "item": empty | {key: shell[key] for key in item.keys() & shell.keys()}})  # fmt: skip
        events += [{**each, "output_index": index, "item_id": item["id"]} for each in _item_events(item)]
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    whole = {**frame, "status": "completed", "output": items, "usage": usage}
    events.append({"type": "response.completed", "response": whole})
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def _item_events(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    if item["type"] == "reasoning":
        part = item["summary"][0]
        return [
            {"type": "response.reasoning_summary_part.added", "summary_index": 0, "part": {**part, "text": ""}},
            {"type": "response.reasoning_summary_text.delta", "summary_index": 0, "delta": part["text"]},
            {"type": "response.reasoning_summary_part.done", "summary_index": 0, "part": part},
        ]
    if item["type"] == "function_call":
        return [
            {"type": "response.function_call_arguments.delta", "delta": item["arguments"]},
            {"type": "response.function_call_arguments.done", "arguments": item["arguments"], "name": item["name"]},
        ]
    part = item["content"][0]
    at = {"content_index": 0, "logprobs": []}
    return [
        {"type": "response.content_part.added", "content_index": 0, "part": {**part, "text": ""}},
        *({"type": "response.output_text.delta", "delta": word, **at} for word in _words(part["text"])),
        {"type": "response.output_text.done", "text": part["text"], **at},
        {"type": "response.content_part.done", "content_index": 0, "part": part},
    ]


NDJSON, EVENTS = "application/x-ndjson", "text/event-stream"
Error = Callable[[str, int], dict[str, Any]]
STATUSES = {400: "INVALID_ARGUMENT", 500: "INTERNAL"}
VENDORS: dict[str, tuple[str, Any, Any, Error]] = {
    "/api/chat": (NDJSON, _ollama_faults, _ollama, lambda text, _: {"error": text}),
    "/chat/completions": (EVENTS, _mistral_faults, _mistral, lambda text, code: {"message": text, "code": str(code)}),
    "enerateContent": (
        EVENTS,
        _gemini_faults,
        _gemini,
        lambda text, code: {"error": {"code": code, "message": text, "status": STATUSES[code]}},
    ),
    "/responses": (
        EVENTS,
        _responses_faults,
        _responses,
        lambda text, _: {"type": "error", "code": "server_error", "message": text, "param": None, "sequence_number": 0},
    ),
}
