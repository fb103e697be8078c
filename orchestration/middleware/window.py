"""What is left out where a conversation is longer than the model's window, and what stands in its place.

A result that the model has not read yet is never left out, and neither is the outcome of an effect. What is left out can be
read again, by `read_result` or `open_document`.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage

from orchestration.middleware.policy import artifact_of
from orchestration.run.tokens import count_tokens, cut_at, tokens_in

# Characters of an effect's outcome that stay, whatever is left out
OUTCOME = 600
# Tokens that a result which was not read yet has at least
LEAST = 200
# The latest effects that are told beside a summary, and the characters of each
DONE, TOLD = 20, 200


def lay_out(messages: Sequence[AnyMessage], message_id: str, most: int) -> list[AnyMessage]:
    """Return the messages with a note in place of each result before the one of this id, and repeated passages named."""
    end = next((place for place, message in enumerate(messages) if message.id == message_id), 0)
    read = name_repeated(messages[:end], most)
    return name_repeated([*map(_note_of, read), *messages[end:]], most)


def name_repeated(messages: Sequence[AnyMessage], most: int) -> list[AnyMessage]:
    """Return the messages with each passage in full where it stands first, and named by its number after that. So are those for which
    one result has no room in `most` tokens, until they are asked for again.
    """
    above, shown = set[int](), list[AnyMessage]()
    for message in messages:
        artifact = artifact_of(message)
        frames: dict[int, str] = artifact.get("frames") or {}
        again = [number for number in frames if number in above]
        fresh = _that_fit({number: text for number, text in frames.items() if number not in above}, most)
        above.update(fresh)
        if len(fresh) == len(frames):
            shown.append(message)
            continue
        others = ", ".join(str(number) for number in frames if number not in above)
        lines = [
            artifact.get("head", ""),
            f"[Above already: {', '.join(map(str, again))}.]" if again else "",
            *fresh.values(),
            f"[Found as well, and not shown to save room: {others}. open_document shows them.]" if others else "",
        ]
        kept = {**artifact, "shown": [*again, *fresh], "frames": fresh}
        shown.append(message.model_copy(update={"content": "\n".join(filter(None, lines)), "artifact": kept}))
    return shown


def _that_fit(frames: Mapping[int, str], most: int) -> dict[int, str]:
    """Return the first of the passages, one at least, that take at most so many tokens."""
    fitting, left = dict[int, str](), float(most)
    for number, text in frames.items():
        left -= tokens_in(text)
        if left < 0 and fitting:
            break
        fitting[number] = text
    return fitting


def tell_done(messages: Sequence[AnyMessage]) -> str:
    """Return a line about the effects in these messages, which a summary might have left out; empty: there are none."""
    effects = [message for message in messages if artifact_of(message).get("effect")]
    told = "; ".join(message.text[:TOLD] for message in effects[-DONE:])
    return f"[Done before, and not to be done again: {told}]" if told else ""


def find_boundary(messages: Sequence[AnyMessage], room: int) -> str:
    """Return the id of the message before which results have to be left out to come below `room` tokens; empty: there are none.

    At most those before the model's last message are: the model has read them.
    """
    last = max((place for place, message in enumerate(messages) if isinstance(message, AIMessage)), default=0)
    sizes = [count_tokens([message]) for message in messages]
    total, boundary = sum(sizes), ""
    for place, message in enumerate(messages[:last]):
        if total <= room:
            break
        smaller = count_tokens([_note_of(message)])
        if smaller < sizes[place]:
            total -= sizes[place] - smaller
            boundary = messages[place + 1].id or ""
    return boundary


def shorten_unread(messages: Sequence[AnyMessage], room: int) -> list[AnyMessage]:
    """Return the messages with the longest of the results that the model has not read yet shortened to one length, so that all
    come below `room` tokens.
    """
    last = max((place for place, message in enumerate(messages) if isinstance(message, AIMessage)), default=-1)
    sizes = {
        place: count_tokens([message])
        for place, message in enumerate(messages[last + 1 :], last + 1)
        if _is_long(message)
    }
    left = room - count_tokens([message for place, message in enumerate(messages) if place not in sizes])
    most, waiting = 0, len(sizes)
    for size in sorted(sizes.values()):
        most = max(LEAST, left // waiting)
        if size > most:
            break
        left, waiting = left - size, waiting - 1
    return [_cut(message, most) if sizes.get(place, 0) > most else message for place, message in enumerate(messages)]


def read_on(call_id: str, end: int, length: int) -> str:
    return f"[Shown to character {end:,} of {length:,}. Read on with read_result, call_id {call_id}, start {end}.]"


def _is_long(message: AnyMessage) -> bool:
    return isinstance(message, ToolMessage) and count_tokens([message]) > LEAST


def _cut(message: AnyMessage, tokens: int) -> AnyMessage:
    end = cut_at(message.text, tokens)
    more = read_on(getattr(message, "tool_call_id", ""), end, len(message.text))
    if "shown" in artifact_of(message):
        more = "[The other passages are left out to save room. Search for less at a time, or open one that is shown.]"
    return _with(message, f"{message.text[:end]}\n{more}")


def _note_of(message: AnyMessage) -> AnyMessage:
    if not isinstance(message, ToolMessage):
        return message
    artifact, text = artifact_of(message), message.text
    again = f"read_result, call_id {message.tool_call_id}, start"
    if artifact.get("effect"):
        note = f"{text[:OUTCOME]}\n[The rest is left out to save room: {again} {OUTCOME}. This was done; do not do it again.]"
    elif artifact.get("shown"):
        # each passage in one note alone: those of many searches would fill a small window
        numbers = artifact.get("frames") or artifact["shown"]
        note = f"[You have read passages {_list_numbers(numbers)}, left out to save room. open_document shows them.]"
    else:
        note = f"[You have read this result; it is left out to save room. {again} 0 shows it again.]"
    return _with(message, note) if len(note) < len(text) else message


def _list_numbers(numbers: Iterable[int]) -> str:
    """Return the numbers in order, and three or more that follow on each other as a range: "1-4, 7"."""
    runs = [[number for _, number in run] for _, run in groupby(enumerate(sorted(numbers)), lambda at: at[1] - at[0])]
    told = [f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return ", ".join(told)


def _with(message: AnyMessage, content: str) -> AnyMessage:
    update: dict[str, Any] = {"content": content, "artifact": None}
    return message.model_copy(update=update)
