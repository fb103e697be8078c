"""A conversation that others of the tenant read by its link: each sees of it what their own rights allow at that moment."""

from collections.abc import Iterable

from foundation.types import Principal
from orchestration.effects.policy import Policy
from orchestration.events import Turn
from retrieval.contract import DocumentLedger


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
