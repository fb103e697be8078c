"""Do one item of a job: ingest a document, or answer a question."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.errors import Forbidden
from foundation.types import EVERY_TENANT, Principal
from orchestration.requests import AnswerRequest
from retrieval.documents import Source
from retrieval.ingest.pipeline import Demand
from retrieval.ingest.preparation import Item
from serving.access.admission import Admission, Work
from serving.api.documents import media_type_of, take_in
from serving.api.schemas import DocumentSummary
from serving.http.streams import collect
from serving.jobs.queue import Allow, Do, Jobs
from serving.jobs.store import JobItem, Kind
from serving.processes.lifecycle import Lifecycle

if TYPE_CHECKING:
    from serving.wiring import System


def open_jobs(system: System, admission: Mapping[Work, Admission], lifecycle: Lifecycle, allow: Allow) -> Jobs:
    """Return the jobs of a server: for each kind the kind of place that its items need, and the function that does one."""

    async def ingest_item(item: JobItem, principal: Principal, files: Path, demand: Demand) -> Mapping[str, Any]:
        fields = item.given
        if fields["tenant"] == EVERY_TENANT and "operator" not in principal.roles:
            raise Forbidden(
                "Only operators write for every tenant, and the key that began this job is none's any more."
            )
        named = ("effective_from", "published")
        days = {name: date.fromisoformat(day) for name in named if (day := fields.get(name))}
        source = Source(
            uri=item.name,
            tenant=fields["tenant"],
            groups=frozenset(fields["groups"]),
            title="",
            media_type=media_type_of(item.name),
            series=fields.get("series"),
            effective_from=days.get("effective_from"),
            published=days.get("published"),
        )

        def ingest() -> DocumentSummary:
            content = (files / str(item.number)).read_bytes()
            with system.erasures.acting_for(principal):
                return DocumentSummary.of(
                    take_in(system, Item(source=source, content=content, name=item.name), principal, demand)
                )

        thread = asyncio.ensure_future(asyncio.to_thread(ingest))
        try:
            summary = await asyncio.shield(thread)
        except asyncio.CancelledError:
            await asyncio.wait([thread])  # the stores must not be closed while it runs
            raise
        return summary.model_dump(mode="json")

    async def ask(item: JobItem, principal: Principal, files: Path, demand: Demand) -> Mapping[str, Any]:
        del files, demand  # an answer is cancelled instead
        answer = await collect(
            system.agent.stream(AnswerRequest.model_validate(item.given.get("request", item.given)), principal),
            lifecycle,
        )
        return answer.model_dump(mode="json")

    do: dict[Kind, tuple[Work, Do]] = {
        "ingest": ("writes", ingest_item), "answers": ("answers", ask), "responses": ("answers", ask),
    }  # fmt: skip
    return Jobs(system.jobs, do, admission, lifecycle, allow)
