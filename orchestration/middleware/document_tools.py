"""Documents as tools: `search_documents` and `open_document`. They return numbered passages, which the answer cites.

Checkpoints hold the ids of passages and no text: each run reads the text again under the caller's present rights.
"""

import html
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import count
from typing import Annotated, Any

from langchain.agents.middleware import ModelRequest
from langchain_core.messages import AnyMessage
from langchain_core.tools import BaseTool, ToolException
from pydantic import Field

from orchestration.language.guard import without_tags
from orchestration.middleware.base import RequestMiddleware, reading_tool
from orchestration.middleware.policy import artifact_of
from orchestration.run.run import Run, current_run
from orchestration.run.state import day_of
from retrieval.contract import DocumentLedger
from retrieval.documents import Hit
from retrieval.grounding.citing import title_of

# Number of passages that `open_document` shows at once
PART = 8
NOTHING = "No document that the person may read matches."
GONE = "This passage can no longer be read: the document was changed, removed or closed to this person."


Query = Annotated[
    str, Field(min_length=1, max_length=1_000, description="what to look for, in the language of the documents")
]
Day = Annotated[
    date | None, Field(description="where the person asks what was in force on a day, that day: 2024-11-30; else none")
]
Passage = Annotated[int, Field(ge=1, description="the number of a passage that a search gave")]
Part = Annotated[
    int, Field(ge=0, description="0: the passages around it; 1, 2, ...: the first, second, ... part of the document")
]


class DocumentToolsMiddleware(RequestMiddleware):
    """Offers `search_documents` and `open_document`, and shows the model their passages."""

    def __init__(self, ledger: DocumentLedger) -> None:
        self._ledger = ledger
        search = (
            "Search the organisation's documents. Search again with other words where the first search does not answer."
        )
        read_on = "Read on in a document that a search found, around a passage or part by part."
        self.tools: list[BaseTool] = [
            reading_tool(self._search, "search_documents", search, response_format="content_and_artifact"),
            reading_tool(self._open, "open_document", read_on, response_format="content_and_artifact"),
        ]

    async def prepare(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        run = current_run()
        # in place: a sub-agent's run shares them
        run.passages.numbers.update(passage_numbers(request.messages, run.passages.numbers))
        run.passages.days.update(_days_of(request.messages))
        # read again in each run: the caller may have lost access since
        missing: dict[date | None, list[str]] = defaultdict(list)
        for chunk_id in run.passages.numbers:
            if chunk_id not in run.passages.hits:
                missing[run.passages.days.get(chunk_id) or day_of(run.state)].append(chunk_id)
        for day, chunk_ids in missing.items():
            run.passages.hits |= await run.in_thread(self._ledger.hits, chunk_ids, run.scope, as_of=day)
        return request.override(messages=[_show(message, run) for message in request.messages])

    async def _search(self, query: Query, day: Day = None) -> tuple[str, dict[str, Any]]:
        run = current_run()
        day = None if day_of(run.state) else day
        return _note_hits(await run.search(query, as_of=day), run, day)

    async def _open(self, passage: Passage, part: Part = 0) -> tuple[str, dict[str, Any]]:
        run = current_run()
        hit = next(
            (hit for hit in run.passages.hits.values() if run.passages.numbers.get(hit.chunk.chunk_id) == passage), None
        )
        if hit is None:
            raise ToolException(f"There is no passage {passage}. Search first, and open one of the passages found.")
        return await run.in_thread(self._read_on, hit, part, run)

    def _read_on(self, hit: Hit, part: int, run: Run) -> tuple[str, dict[str, Any]]:
        entry = self._ledger.entry(hit.chunk.document_id)
        if entry is None:
            raise ToolException(GONE)
        count = len(entry.chunks)
        first = PART * (part - 1) if part else min(max(0, hit.chunk.position - PART // 2), max(0, count - PART))
        wanted = [chunk.chunk_id for chunk in entry.chunks[first : first + PART]]
        if not wanted:
            raise ToolException(f"The document has {-(-count // PART)} parts; there is no part {part}.")
        day = run.passages.days.get(hit.chunk.chunk_id)
        hits = self._ledger.hits(wanted, run.scope, as_of=day or day_of(run.state))
        content, artifact = _note_hits([hits[chunk_id] for chunk_id in wanted if chunk_id in hits], run, day)
        return f"Passages {first + 1} to {first + len(wanted)} of {count}. {content}", artifact


def passage_numbers(messages: Sequence[AnyMessage], known: Mapping[str, int] | None = None) -> dict[str, int]:
    """Number the passages of the conversation by id: as is `known`, as a sub-agent numbered them, else from 1 in order of appearance."""
    numbers = dict(known or {})
    for artifact in map(artifact_of, messages):
        numbers = dict(zip(artifact.get("chunks", ()), artifact.get("numbers", ()), strict=False)) | numbers
    taken = frozenset(numbers.values())
    free = (number for number in count(1) if number not in taken)
    for chunk_id in dict.fromkeys(chunk_id for message in messages for chunk_id in _chunks_of(message)):
        numbers[chunk_id] = numbers.get(chunk_id) or next(free)
    return numbers


def _chunks_of(message: AnyMessage) -> list[str]:
    return list(artifact_of(message).get("chunks", ()))


def _days_of(messages: Sequence[AnyMessage]) -> dict[str, date]:
    days: dict[str, str] = {}
    for artifact in map(artifact_of, messages):
        if day := artifact.get("day"):
            days |= dict.fromkeys(artifact["chunks"], day)
        days |= artifact.get("days", {})
    return {chunk_id: date.fromisoformat(day) for chunk_id, day in days.items()}


def _note_hits(hits: Sequence[Hit], run: Run, day: date | None) -> tuple[str, dict[str, Any]]:
    run.passages.hits.update({hit.chunk.chunk_id: hit for hit in hits})
    artifact = {"chunks": [hit.chunk.chunk_id for hit in hits]} | ({"day": day.isoformat()} if day else {})
    return (f"{len(hits)} passages." if hits else NOTHING), artifact


def _show(message: AnyMessage, run: Run) -> AnyMessage:
    chunk_ids = _chunks_of(message)
    if not chunk_ids or artifact_of(message).get("is_report"):  # its passages are named by their numbers
        return message
    numbers = [run.passages.numbers[chunk_id] for chunk_id in chunk_ids]
    frames = {
        number: _frame(number, run.passages.hits.get(id_)) for number, id_ in zip(numbers, chunk_ids, strict=True)
    }
    # for `ContextMiddleware`, which names those that stand above, and may have to leave all out
    artifact = {"shown": numbers, "head": message.text, "frames": frames}
    update = {"content": "\n".join([message.text, *frames.values()]), "artifact": artifact}
    return message.model_copy(update=update)


def _frame(number: int, hit: Hit | None) -> str:
    if hit is None:
        return f'<passage id="{number}">{GONE}</passage>'
    details = {
        "id": str(number),
        "title": title_of(hit),
        "section": " > ".join(hit.chunk.heading_path),
        "page": str(hit.chunk.page or ""),
        "effective_from": str(hit.source.effective_from or ""),
    }
    attributes = " ".join(f'{name}="{html.escape(value)}"' for name, value in details.items() if value)
    return f"<passage {attributes}>\n{without_tags(hit.chunk.text, 'passage')}\n</passage>"
