"""Bedrock's Converse API for the doubles of `vendors`: the frames of bytes in which it streams, and its 400s."""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

Wanted = tuple[str, Mapping[str, Any]]
READ, WROTE, THOUGHT = 100, 10, 300
"""Tokens of every reply; what was thought counts among what was written, where the vendor counts it so."""
SEAL = "c2VhbGVkLWJ5LXRoZS1kb3VibGU="
"""On thoughts and on calls that followed them; it must come back as it was."""

FIELDS = {
    "messages", "system", "inferenceConfig", "toolConfig", "guardrailConfig", "additionalModelRequestFields", "promptVariables",
    "additionalModelResponseFieldPaths", "requestMetadata", "performanceConfig", "serviceTier", "outputConfig",
}  # fmt: skip
THOUGHTFUL = "_thought"
"""The end of a call's id before which the model has thought."""


def reply(handler: Any, text: str, wanted: Sequence[Wanted], thoughts: str, breaks_after: int | None) -> None:
    """Thoughts, words and calls of tools, in whole or as a stream. `breaks_after` so many frames it tells of an error of its own."""
    if faults := _faults(handler.body):
        body = json.dumps({"message": "; ".join(faults)}).encode()
        handler.send(400, body, {"Content-Type": "application/json", "x-amzn-ErrorType": "ValidationException"})
        return
    blocks = _blocks(text, wanted, thoughts, len(handler.provider.requests))
    end = {"stopReason": "tool_use" if wanted else "end_turn"}
    wrote = WROTE + (THOUGHT if thoughts else 0)
    bill = {
        "usage": {"inputTokens": READ, "outputTokens": wrote, "totalTokens": READ + wrote},
        "metrics": {"latencyMs": 1},
    }
    if not handler.path.endswith("/converse-stream"):
        whole = {"output": {"message": {"role": "assistant", "content": blocks}}, **end, **bill}
        handler.send(200, json.dumps(whole).encode(), {"Content-Type": "application/json"})
        return
    frames = [("messageStart", {"role": "assistant"})]
    frames += [frame for index, block in enumerate(blocks) for frame in _block_frames(index, block)]
    sent = [_frame(name, payload) for name, payload in [*frames, ("messageStop", end), ("metadata", bill)]]
    if breaks_after is not None:
        error = _frame("modelStreamErrorException", {"message": "the double broke off"}, kind="exception")
        sent = [*sent[:breaks_after], error]
    handler.send(200, b"".join(sent), {"Content-Type": "application/vnd.amazon.eventstream"})


def _faults(body: Mapping[str, Any]) -> list[str]:
    faults = [f"Unknown field {name}" for name in body.keys() - FIELDS]
    messages = body["messages"]
    roles = [message["role"] for message in messages]
    if any(before == after for before, after in pairwise(roles)):
        faults.append("roles must alternate between user and assistant")
    if roles[:1] != ["user"] or roles[-1:] != ["user"]:
        faults.append("A conversation must start with a user message, and end with one")
    called: list[str] = []
    thinks = "thinking" in (body.get("additionalModelRequestFields") or {})
    for message in messages:
        content = message["content"]
        if not content or any("text" in block and not block["text"].strip() for block in content):
            faults.append("The text field in the ContentBlock object is blank")
        results = [block["toolResult"]["toolUseId"] for block in content if "toolResult" in block]
        if sorted(results) != sorted(called):
            faults.append("Expected toolResult blocks for each toolUse block of the turn before, and no others")
        called = [block["toolUse"]["toolUseId"] for block in content if "toolUse" in block]
        if any(not isinstance(block["toolUse"]["input"], dict) for block in content if "toolUse" in block):
            faults.append("The format of the value at toolUse.input is invalid. Provide a json object")
        if (called or results) and "toolConfig" not in body:
            faults.append("The toolConfig field must be defined when using toolUse and toolResult content blocks.")
        if any(call.endswith(THOUGHTFUL) for call in called) and _signature(content[0]) != SEAL:
            faults.append("a message of the assistant with toolUse must begin with its reasoningContent as it was")
    if thinks and "temperature" in (body.get("inferenceConfig") or {}):
        faults.append("temperature may only be set to 1 when thinking is enabled")
    return faults


def _signature(block: Mapping[str, Any]) -> Any:
    return block.get("reasoningContent", {}).get("reasoningText", {}).get("signature")


def _blocks(text: str, wanted: Sequence[Wanted], thoughts: str, turn: int) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if thoughts:
        blocks.append({"reasoningContent": {"reasoningText": {"text": thoughts, "signature": SEAL}}})
    if text:
        blocks.append({"text": text})
    for number, (name, arguments) in enumerate(wanted):
        call = f"tooluse_{turn}_{number}{THOUGHTFUL if thoughts else ''}"
        blocks.append({"toolUse": {"toolUseId": call, "name": name, "input": dict(arguments)}})
    return blocks


def _block_frames(index: int, block: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    at = {"contentBlockIndex": index}
    if "text" in block:
        deltas: list[dict[str, Any]] = [{"text": word} for word in re.findall(r"\S+\s*", block["text"])]
    elif "toolUse" in block:
        deltas = [{"toolUse": {"input": json.dumps(block["toolUse"]["input"])}}]
    else:
        thought = block["reasoningContent"]["reasoningText"]
        deltas = [{"reasoningContent": {key: thought[key]}} for key in ("text", "signature")]
    begun = {key: value for key, value in block.get("toolUse", {}).items() if key != "input"}
    start = [("contentBlockStart", {**at, "start": {"toolUse": begun}})] if begun else []
    return [*start, *(("contentBlockDelta", {**at, "delta": delta}) for delta in deltas), ("contentBlockStop", at)]


def _frame(name: str, payload: Mapping[str, Any], *, kind: str = "event") -> bytes:
    """A message of `vnd.amazon.eventstream`: lengths, their checksum, headers of type string, body, checksum."""
    headers = {f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}
    packed = b"".join(
        struct.pack("!B", len(key)) + key.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for key, value in headers.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack("!II", len(packed) + len(body) + 16, len(packed))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + packed + body
    return message + struct.pack("!I", zlib.crc32(message))
