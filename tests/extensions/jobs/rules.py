"""Who may call the routes of jobs."""

from tests.doubles.rules import ASK, WRITERS, Begun, Rule
from tests.doubles.serving import TEXT

RULES = {
    "POST /v1/jobs/ingest": Rule(WRITERS, files={"files": ("double.md", TEXT.encode())}, last=True),
    "POST /v1/jobs/answers": Rule(json={"questions": [ASK]}, last=True),
    "GET /v1/jobs": Rule(paged=True, last=True),
    "GET /v1/jobs/{job_id}": Rule(paged=True, of_tenant=True, of_person=True, last=True),
    "POST /v1/jobs/{job_id}/cancel": Rule(of_tenant=True, of_person=True, last=True),
}
OURS = {"job_id": "job-1"}
BEGUN = (Begun("POST /v1/jobs/answers"),)
