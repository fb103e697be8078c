"""A conversation that others of the tenant read by its link: each sees of it what their own rights allow at that moment."""

from collections.abc import Iterable
from typing import Any, cast

from foundation.errors import NotFound
from foundation.stores.erasures import mark_of
from foundation.types import Principal
from orchestration.effects.policy import Policy
from orchestration.events import Conversation, Turn
from orchestration.flow.base_agent import config_of
from orchestration.memory.conversations import (
    BEFORE_THE_FIRST_NODE,
    SHARED,
    SHARED_UNTIL,
    Conversations,
    ends_of_turns,
    turn_of,
)
from orchestration.run.state import State, owner_of
from retrieval.contract import DocumentLedger


async def share(store: Conversations, thread_id: str, principal: Principal, code: str) -> Conversation:
    """Let whoever has the code in this tenant read the conversation up to its last answer; an empty code ends it, and a new one
    replaces an earlier one. Raises NotFound: it is not theirs. Conflict: it is busy.
    """
    until = (await store.turns(thread_id, principal))[-1].answer_id
    labels = {SHARED: _mark_of(code, principal), SHARED_UNTIL: until} if code else {SHARED: "", SHARED_UNTIL: ""}
    return await store.label(thread_id, principal, labels)


async def read_shared(store: Conversations, code: str, reader: Principal) -> list[tuple[Principal, Turn]]:
    """Return the turns that a code opens in the reader's tenant, oldest first, each with its asker as they were then; `select_readable`
    says what of it the reader may see. Raises NotFound: no conversation has this code.
    """
    marked = {SHARED: _mark_of(code, reader), "step": BEFORE_THE_FIRST_NODE}
    entries = [entry async for entry in store.checkpoints.alist(None, filter=marked)] if code else []
    if not entries:
        raise NotFound("This link opens no conversation of your tenant. It was withdrawn, deleted, or cut short.")
    own = store.checkpoints.alist(config_of(entries[0].config["configurable"]["thread_id"]))
    ends = ends_of_turns([entry async for entry in own])
    turns = [(owner_of(cast("State", it.checkpoint["channel_values"])), turn_of(it)) for it in reversed(ends.values())]
    last = [turn.answer_id for _, turn in turns].index(cast("Any", entries[0].metadata)[SHARED_UNTIL])
    return turns[: last + 1]


def _mark_of(code: str, person: Principal) -> str:
    return mark_of(Principal(f"shared {code}", person.tenant))


def select_readable(
    turns: Iterable[tuple[Principal, Turn]], reader: Principal, policy: Policy, ledger: DocumentLedger
) -> list[tuple[Turn, bool]]:
    """Return each turn with whether the reader may see its answer.

    All documents that it cites and names must be theirs to read now. A text that was written, and not quoted, may rest on more than
    it cites: on tools, and on earlier turns. So whoever reads it must also hold every right that its asker held.
    """
    scope, shown = policy.scope(reader), list[tuple[Turn, bool]]()
    for asker, turn in turns:
        named = {it.document_id for it in turn.citations} | {it.document_id for it in turn.nearest}
        documents = [ledger.find(document_id) for document_id in named]
        readable = all(it is not None and it.source.is_readable(scope) for it in documents)
        may_read_written = reader.holds_rights_of(asker) and all(ok for _, ok in shown)
        shown.append((turn, readable and (turn.path == "extractive" or may_read_written)))
    return shown
