"""`sixply audit-verify`: check that the audit is complete and unchanged."""

from typing import Annotated

import typer

from extensions.audit.log import Head
from extensions.audit.verification import verify_audit
from serving.cli import terminal
from serving.cli.options import STACK, Json, Stack, exit_unless, load_stack


def audit_verify(
    *,
    head: Annotated[str | None, typer.Option(help="A head of the log stored elsewhere, as count:hash.")] = None,
    json: Json = None,
    stack: Stack = STACK,
) -> None:
    """Verify the audit log. Finds an edited, dropped or reordered record."""
    data = load_stack(stack).settings.foundation.data_dir
    result = verify_audit(data, known=Head.parse(head) if head else None)
    if not terminal.write_json(json, result.as_dict()):
        if result.problems:
            terminal.show_rows(result.problems, "record | problem | what it says", "{.number} | {.kind} | {.what}")
        terminal.show(f"{result.records} records, {'whole' if result.ok else 'NOT whole'}. Head: {result.head}")
        if later := result.after_the_kept_head:
            terminal.show(f"{later} of them came after the kept head; a crash leaves one, an intruder more.")
        terminal.show(
            "[dim]A rewritten chain with every copy of its head is not noticed. Keep a head elsewhere, and compare: "
            "make audit-verify HEAD=count:hash[/]"
        )
    exit_unless(ok=result.ok)
