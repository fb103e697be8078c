"""Review proposed golden cases, one key each. Every decision is saved before the next question."""

from collections.abc import Callable
from pathlib import Path

import typer

from extensions.proposals import review
from extensions.proposals.review import Proposal
from observability.evaluation.golden_set import GoldenCase, read_known_cases, unfit
from serving.cli import terminal
from serving.cli.options import user_name

KEYS = {"a": "accept", "e": "edit", "r": "reject", "q": "quit"}


def review_by_keys(drafts: list[Proposal], waiting_at: Path, golden: Path) -> bool:
    """Ask the person at the keyboard about each waiting proposal. Return false if there are some and no terminal."""
    if not any(draft.waits for draft in drafts):
        return True
    if not terminal.is_asked():
        return False
    terminal.console().print("Keys: a accept, e edit, r reject, q quit; the same command goes on where you quit.")
    accept_proposals(drafts, waiting_at, golden, by=user_name(), decide=_decide)
    return True


def accept_proposals(
    drafts: list[Proposal],
    waiting_at: Path,
    golden: Path,
    *,
    by: str,
    decide: Callable[[Proposal], Proposal | None] = lambda draft: draft,
) -> None:
    """Add the waiting proposals that `decide` accepts to the golden set. `None` from `decide` ends the review."""
    for place, draft in enumerate(drafts):
        decided = decide(draft) if draft.waits else draft
        if decided is None:
            return
        if decided.waits:
            case = GoldenCase(**{**decided.case, "reviewed_by": by})
            if case.id not in {existing.id for existing in read_known_cases(golden)}:
                review.take_in([case], golden)
            decided = decided.model_copy(
                update={"reviewed": True, "case": case.model_dump(mode="json", exclude_defaults=True)}
            )
        if decided is not draft:
            drafts[place] = decided
            review.save(waiting_at, drafts)


def _decide(draft: Proposal) -> Proposal | None:
    _show(draft)
    while True:
        key = _read_key()
        if key == "q":
            return None
        if key == "r":
            return draft.model_copy(update={"rejected": True})
        edited = draft.model_copy(update={"case": _edit(draft.case)}) if key == "e" else draft
        wrong = unfit(GoldenCase(**edited.case))
        if not wrong:
            return edited
        terminal.show_note(f"{wrong}. Edit or reject it.")


def _show(draft: Proposal) -> None:
    out, case = terminal.console(), draft.case
    answers = " or ".join(case.get("answers", ())) or (
        "not known yet" if case["answerable"] else "none: the documents do not say it"
    )
    lines = {
        "answer": answers,
        "in": ", ".join(case.get("gold_documents", ()))
        + (f", characters {draft.span[0]} to {draft.span[1]}" if draft.span else ""),
        "says": case.get("evidence", ""),
        "was said": draft.said,
        "judged": " ".join(filter(None, (draft.verdict, draft.note))),
    }
    out.print(f"\n[bold]{terminal.plain(case['question'])}[/]")
    for name, text in lines.items():
        if text:
            out.print(f"  [dim]{name:<9}[/]{terminal.plain(text)}")


def _edit(case: dict[str, object]) -> dict[str, object]:
    answers = GoldenCase(**case).answers
    edited = {**case, "question": typer.prompt("  question", default=case["question"])}
    if case["answerable"]:
        edited["answers"] = [typer.prompt("  answer", default=answers[0] if answers else None)]
    return edited


def _read_key() -> str:
    """Return one of the keys; Ctrl-C, Ctrl-D and Escape quit."""
    while (key := typer.getchar().lower()) not in KEYS:
        if key in ("\x03", "\x04", "\x1b"):
            return "q"
        terminal.show_note(", ".join(f"{key} {word}" for key, word in KEYS.items()))
    terminal.console().print(f"  [dim]{KEYS[key]}[/]")
    return key
