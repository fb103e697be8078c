"""Jobs of many documents or many questions: start, progress, results, cancel."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, UploadFile
from pydantic import BaseModel, ConfigDict, Field

from extensions.jobs.queue import Jobs
from extensions.jobs.store import Job, JobItem
from foundation.errors import InvalidRequest
from retrieval.documents import Source
from retrieval.ingest.pipeline import demand_readable
from serving.access.identity import Asker, Writer
from serving.api.answers import AskRequest, check_length
from serving.api.documents import file_name, owner
from serving.api.schemas import Identifier, Name, Pages, RequestBody
from serving.http.errors import responses
from serving.http.uploads import refuse_unknown_fields
from serving.runtime import Running, admit

MOST_FILES = 100

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=[admit("reads")])


JobId = Annotated[Identifier, Field(examples=["job-1"])]


class BatchRequest(RequestBody):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"questions": [{"question": "When does it ship?"}, {"question": "When not?"}]}]}
    )

    questions: list[AskRequest] = Field(fail_fast=True, min_length=1, max_length=200)


class JobList(BaseModel):
    jobs: list[Job]
    next_cursor: str | None


class JobDetail(BaseModel):
    job: Job
    items: list[JobItem]
    next_cursor: str | None


@router.post("/ingest", status_code=202, responses=responses(), dependencies=[Depends(refuse_unknown_fields)])
async def ingest(
    files: Annotated[list[UploadFile], File(description=f"At most {MOST_FILES}; each is taken or refused by itself.")],
    caller: Writer,
    runtime: Running,
    *,
    groups: Annotated[
        list[Name] | None, Form(description="Who in the tenant may read them; everyone if absent.")
    ] = None,
    series: Annotated[
        Name | None, Form(description="Versions of one document share it; of one file, since each has its own day.")
    ] = None,
    effective_from: Annotated[date | None, Form(description="In force from this day.")] = None,
    published: Annotated[date | None, Form()] = None,
    shared: Annotated[bool, Form(description="For every tenant; operators only.")] = False,
) -> Job:
    """Ingest documents one by one. 202 means that the files are on disk; each can be found once it is `done`."""
    if len(files) > MOST_FILES:
        raise InvalidRequest(f"{len(files)} files are more than the {MOST_FILES} of one job. Send several jobs.")
    if series is not None and len(files) > 1:
        raise InvalidRequest(
            f'{len(files)} files cannot all be the version of "{series}" that is in force. Send each by itself, with the day '
            "from which it is (effective_from)."
        )
    fields: dict[str, Any] = {
        "tenant": owner(caller, shared=shared),
        "groups": sorted(groups or ()),
        "series": series,
        "effective_from": effective_from.isoformat() if effective_from else None,
        "published": published.isoformat() if published else None,
    }
    readers = Source("", fields["tenant"], frozenset(fields["groups"]))
    demand_readable(readers, runtime.system.policy.scope(caller))  # checked again when each is stored
    items = [(file_name(file), fields) for file in files]
    contents = {str(number): await file.read() for number, file in enumerate(files, 1)}
    return await runtime.part(Jobs).begin("ingest", caller, items, contents)


@router.post("/answers", status_code=202, responses=responses())
async def answers(body: BatchRequest, caller: Asker, runtime: Running) -> Job:
    """Answer questions one after the other, each as `POST /v1/answers` does; interactive requests go first."""
    for question in body.questions:
        check_length(question.question, runtime.system.settings.orchestration.answers)
    items = [(question.question, question.model_dump(mode="json")) for question in body.questions]
    return await runtime.part(Jobs).begin("answers", caller, items)


@router.get("", responses=responses())
async def listed(caller: Asker, runtime: Running, pages: Pages) -> JobList:
    """List your jobs of the last days, newest first."""
    jobs_of_caller = await runtime.part(Jobs).store.all(caller)
    page, cursor = pages.page(jobs_of_caller, lambda job: f"{job.begun_at.isoformat()} {job.job_id}", newest_first=True)
    return JobList(jobs=page, next_cursor=cursor)


@router.get("/{job_id}", responses=responses(404))
async def read(job_id: JobId, caller: Asker, runtime: Running, pages: Pages) -> JobDetail:
    """Return a job's progress, and the result of each item: the document or the answer, or a problem."""
    job = await runtime.part(Jobs).store.get(job_id, caller)
    page, cursor = pages.page(await runtime.part(Jobs).store.items(job_id), lambda item: f"{item.number:09}")
    return JobDetail(job=job, items=page, next_cursor=cursor)


@router.post("/{job_id}/cancel", responses=responses(404))
async def cancel(job_id: JobId, caller: Asker, runtime: Running) -> Job:
    """Cancel a job: no further items are started. Finished items stay, and a job that has ended does not change."""
    return await runtime.part(Jobs).cancel(job_id, caller)
