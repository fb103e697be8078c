"""Feedback by which the words of a restricted document reach others, or somebody else's judgement is lost."""

from __future__ import annotations

from lab.attacks.contract import Attack, Tried
from lab.attacks.victim import Victim

TENANT = "feedback"
CANARY = "CANARYX77"


def read_and_overwrite(victim: Victim) -> Tried:
    """Of an answer to a person of the group hr: read its edited text as a colleague, an approver, an operator; then overwrite it."""
    tried = Tried()
    hanna = victim.person("hanna", "agent", tenant=TENANT, groups=("hr",))
    victim.upload(hanna, "vault.md", f"The vault of hr opens with {CANARY}.", groups="hr")
    answer_id = victim.ask(hanna, "Which code opens the vault of hr?")["answer_id"]
    said = {"verdict": "edited", "edit": f"Use {CANARY} for the vault."}
    honest = hanna.post(f"/v1/answers/{answer_id}/feedback", json=said)
    tried.check(held=honest.status_code == 200, otherwise=f"who asked could say nothing: {honest.text[:200]}")
    colleagues = {role: victim.person(f"nora-{role}", role, tenant=TENANT) for role in ("reader", "agent", "approver")}
    for role, colleague in colleagues.items():
        reply = colleague.post(
            f"/v1/answers/{answer_id}/feedback", json={"verdict": "rejected", "reason": f"HACKED by {role}"}
        )
        tried.check(held=reply.status_code == 404, otherwise=f"{role} overwrote it: {reply.status_code}")
    listed = hanna.get("/v1/feedback").json()["feedback"]
    kept = [(row["answer_id"], row["edit"] or row["reason"]) for row in listed]
    tried.check(held=(answer_id, said["edit"]) in kept, otherwise=f"what hanna said is gone: {listed}")
    colleagues["operator"] = victim.person("nora-operator", "operator", tenant=TENANT)
    for role, colleague in colleagues.items():
        text = colleague.get("/v1/feedback").text
        tried.check(held=CANARY not in text, otherwise=f"{role} reads: {text[:200]}")
    return tried


def _let_everybody_judge() -> None:
    from extensions.feedback import routes

    routes._judges = lambda caller: True  # noqa: ARG005 - named as what it replaces


ATTACKS = (
    Attack(
        name="feedback-of-another",
        title="feedback shows what a restricted document says, or is replaced by somebody who was not asked",
        run=read_and_overwrite,
        reopen=_let_everybody_judge,
    ),
)
