"""Commands for whoever answers for the system: the audit."""

from __future__ import annotations

from pathlib import Path

from foundation.settings import Loaded
from serving import terminal


def audit_verify(loaded: Loaded, head: str | None, json: Path | None) -> bool:
    """Whether the audit is whole, as far as its chain and the heads of it that were kept can tell."""
    from orchestration import audit

    path = loaded.settings.foundation.data_dir / "audit.sqlite"
    found = audit.verify(path, known=audit.Head.parse(head) if head else None)
    if terminal.write_json(json, found.as_dict()):
        return found.ok
    if found.problems:
        terminal.show_table(
            ["record", "problem", "what it says"], [(one.number, one.kind, one.what) for one in found.problems]
        )
    verdict = "whole" if found.ok else "NOT whole"
    out = terminal.console()
    out.print(f"{found.records} records, {verdict}. Head: {found.head}")
    if found.after_the_kept_head:
        out.print(
            f"{found.after_the_kept_head} of them came after the kept head; a crash leaves one, an intruder more."
        )
    out.print(
        "[dim]Whoever rewrites the chain and every copy of its head is not seen. Keep a head elsewhere, and compare: "
        "make audit-verify HEAD=count:hash[/]"
    )
    return found.ok
