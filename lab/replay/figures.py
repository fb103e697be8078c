"""From the journals of played conversations to figures: what equals the recording, and what differs first."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import takewhile
from typing import Any

from langchain_core.tools import ToolException

from lab.replay.journal import Journal
from lab.replay.recording import Conversation, RecordedCall
from lab.replay.worlds import ConversationTools, World
from orchestration.settings import BudgetSettings

FIRST = 20
COUNTED = (
    "calls_recorded",
    "calls_made_equal",
    "results_recorded",
    "results_equal",
    "answers_recorded",
    "answers_equal",
    "effects_recorded",
    "effects_made",
    "protocol_errors",
    "repairs_asked",
    "last_rounds_asked",
    "summaries_asked",
    "statements_marked",
    "approvals_asked",
    "kills",
    "input_tokens",
    "output_tokens",
)
JUDGED = ("finished", "state_equal", "reward_equal", "bill_equal")


def judge(
    conversation: Conversation, journal: Journal, tools: ConversationTools, make_world: Callable[[], World] | None
) -> dict[str, Any]:
    """The figures of one conversation. What cannot be judged is `None`: a state without a world, a reward that is not recorded."""
    answers = journal.answers()
    differences = [*journal.notes("error"), *journal.notes("difference"), *journal.notes("protocol")]
    spoken = {place for place, line in enumerate(conversation.script) if line.speaker == "model"}
    finished = len(answers) == len(conversation.requests) and spoken <= {int(n) for n in journal.notes("played")}
    if not finished:
        differences.append(f"{len(answers)} of {len(conversation.requests)} requests were answered")
    made = Counter(_key(call.tool, call.arguments) for call in journal.calls())
    missed = _missed_calls(conversation.calls, made)
    differences += [f"call {call.name} {call.arguments} was not made with these arguments" for call in missed]
    other_results = _other_results(conversation, journal)
    differences += other_results
    results = [line for line in conversation.script if line.speaker == "tool" and line.judged]
    replies = [(number, reply) for number, reply in enumerate(conversation.replies) if reply is not None]
    other_answers = [
        f"answer {number + 1} was shown as: {given['text'][:300]}"
        for number, reply in replies
        if (given := answers[number] if number < len(answers) else None) and given["text"].strip() != reply.strip()
    ]
    state_equal, reward = _judge_state(conversation, answers, tools, make_world)
    if state_equal is False:
        differences.append("the database ends in another state than after the recorded calls")
    if reward is not None and conversation.reward is not None and reward != conversation.reward:
        differences.append(f"the reward is {reward:g}, published is {conversation.reward:g}")
    tokens = [(given["input_tokens"] or 0) + (given["output_tokens"] or 0) for given in answers]
    approvals, kills = len(set(journal.notes("approval"))), len(journal.notes("kill"))
    told = sum(map(int, journal.notes("tokens")))
    return {
        "id": conversation.conversation_id,
        "finished": finished,
        "calls_recorded": len(conversation.calls),
        "calls_made_equal": len(conversation.calls) - len(missed),
        "results_recorded": len(results),
        "results_equal": len(results) - len(other_results),
        "answers_recorded": len(replies),
        "answers_equal": len(replies) - len(other_answers),
        "effects_recorded": _recorded_effects(conversation, tools, make_world),
        "effects_made": sum(call.effect for call in journal.calls()),
        "state_equal": state_equal,
        "reward": reward,
        "reward_equal": None if reward is None or conversation.reward is None else reward == conversation.reward,
        "bill_equal": None if kills else sum(tokens) == told,
        "protocol_errors": len(journal.notes("protocol")),
        **{name: len(journal.notes(name)) for name in ("repairs_asked", "last_rounds_asked", "summaries_asked")},
        "statements_marked": sum(len(given["marked"]) for given in answers),
        "approvals_asked": approvals,
        "kills": kills,
        "input_tokens": sum(given["input_tokens"] or 0 for given in answers),
        "output_tokens": sum(given["output_tokens"] or 0 for given in answers),
        "usd": _sum_usd(answers),
        "differences": differences,
        "shown_otherwise": other_answers,
        "requests": [{name: given[name] for name in given if name != "text"} for given in answers],
    }


def total(rows: Sequence[Mapping[str, Any]], limits: BudgetSettings) -> dict[str, Any]:
    """The figures of all conversations."""
    requests = [request for row in rows for request in row["requests"]]
    tokens = [(request["input_tokens"] or 0) + (request["output_tokens"] or 0) for request in requests]
    first = [f"{row['id']}: {difference}" for row in rows for difference in row["differences"][:1]]
    return {
        "conversations": len(rows),
        **{name: sum(row[name] for row in rows) for name in COUNTED},
        **{name: sum(row[name] is True for row in rows) for name in JUDGED},
        **{f"{name}_of": sum(row[name] is not None for row in rows) for name in JUDGED},
        "requests": len(requests),
        "statuses": dict(Counter(request["status"] for request in requests)),
        "usd": _sum_usd(requests),
        "rounds_most": max((request["rounds"] for request in requests), default=0),
        "tokens_most": max(tokens, default=0),
        "requests_above_token_limit": sum(used > limits.tokens for used in tokens),
        "requests_above_usd_limit": sum(Decimal(r["usd"] or 0) > Decimal(str(limits.usd)) for r in requests),
        "first_differences": first[:FIRST],
        "shown_otherwise": [f"{row['id']}: {text}" for row in rows for text in row["shown_otherwise"]][:FIRST],
        "played": list(rows),
    }


def is_equal(figures: Mapping[str, Any]) -> bool:
    """Whether the agent carried every conversation as it was recorded."""
    equal = {
        "finished": "conversations",
        "calls_made_equal": "calls_recorded",
        "results_equal": "results_recorded",
        "effects_made": "effects_recorded",
    }
    return (
        all(figures[name] == figures[of] for name, of in equal.items())
        and all(figures[name] == figures[f"{name}_of"] for name in JUDGED)
        and not figures["protocol_errors"]
        and not figures["first_differences"]
    )


def _key(tool: str, arguments: Any) -> str:
    return f"{tool} {json.dumps(arguments, sort_keys=True)}"


def _missed_calls(recorded: Sequence[RecordedCall], made: Counter[str]) -> list[RecordedCall]:
    """The recorded calls that no call with equal arguments stands for. What was no JSON cannot be made."""
    missed, left = [], made.copy()
    for call in recorded:
        key = _key(call.name, call.arguments)
        if left[key]:
            left[key] -= 1
        elif isinstance(call.arguments, dict):
            missed.append(call)
    return missed


def _other_results(conversation: Conversation, journal: Journal) -> list[str]:
    shown = journal.results()
    calls: dict[str, RecordedCall] = {}
    # equal calls of one message are made at once, so the results of one may be those of another
    left: Counter[tuple[str, str]] = Counter()
    others = []
    for place, line in enumerate(conversation.script):
        if line.calls:
            calls = {call.call_id: call for call in line.calls}
            left = Counter((_key(call.name, call.arguments), call.result_text) for call in line.calls)
        if line.speaker != "tool" or not line.judged:
            continue
        equal = (_key(calls[line.call_id].name, calls[line.call_id].arguments), shown.get(place, ""))
        if left[equal] <= 0 or place not in shown:
            others.append(f"result {line.call_id} {_first_difference(equal[1], line.text)}")
        left[equal] -= 1
    return others


def _first_difference(shown: str, recorded: str) -> str:
    equal = takewhile(lambda pair: pair[0] == pair[1], zip(shown, recorded, strict=False))
    start = max(0, sum(1 for _ in equal) - 40)
    return f"is {shown[start : start + 140]!r}, recorded is {recorded[start : start + 140]!r} (character {start:,} on)"


def _judge_state(
    conversation: Conversation,
    answers: Sequence[Mapping[str, Any]],
    tools: ConversationTools,
    make_world: Callable[[], World] | None,
) -> tuple[bool | None, float | None]:
    """Whether the state is that after the recorded calls, and the reward: 1 where the conversation came to its end, the state is
    that after the expected actions, and the person was told every expected output.
    """
    if tools.world is None or make_world is None:
        return None, None
    state = tools.world.dump()
    recorded, expected = make_world(), make_world()
    _apply(recorded, [(call.name, call.arguments) for call in conversation.calls])
    _apply(expected, [(action["name"], action["kwargs"]) for action in conversation.expected_actions])
    said = [given["text"].casefold().replace(",", "") for given in answers]
    told = all(any(output.casefold() in text for text in said) for output in conversation.expected_outputs)
    reached = tools.world.has_ended(conversation) and state == expected.dump() and told
    return state == recorded.dump(), float(reached)


def _recorded_effects(
    conversation: Conversation, tools: ConversationTools, make_world: Callable[[], World] | None
) -> int:
    if make_world is None:
        acts = [call for call in conversation.calls if call.is_json and call.name in tools.writing]
        return sum(not call.is_failure for call in acts)
    made = [(call.name, call.arguments) for call in conversation.calls if call.name in tools.writing]
    return _apply(make_world(), made)


def _apply(world: World, calls: Sequence[tuple[str, Any]]) -> int:
    """Make the calls that the world has; how many succeeded."""
    done = 0
    for tool, arguments in calls:
        if tool in world.names and isinstance(arguments, dict):
            try:
                world.call(tool, arguments)
                done += 1
            except ToolException:
                continue
    return done


def _sum_usd(requests: Sequence[Mapping[str, Any]]) -> str | None:
    """`None`: at least one has no price."""
    prices = [request["usd"] for request in requests]
    return None if None in prices else str(sum(map(Decimal, prices), Decimal(0)))
