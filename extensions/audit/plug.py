"""Where the audit plugs in: it keeps every record, and tells of those of a trace."""

from functools import partial

from extensions.audit import log
from extensions.audit.verification import sum_up
from serving.hooks import Hooks, Panel, Place

COLUMNS = ("audit (UTC)", "act", "tool", "outcome", "reason", "asked by", "decided by")
SHOWN = ("act", "tool", "outcome", "reason", "subject", "decided_by")


def plug(hooks: Hooks) -> None:
    data = hooks.context.data_dir
    audit = hooks.keep(log.SqliteAudit(data / log.FILE, hooks.context.clock))
    hooks.services.append(audit)
    hooks.recorders.append(audit.record)
    hooks.lifespans.append(audit.tell_head)
    hooks.ready["audit"] = audit.probe
    hooks.panels.append(
        Panel(
            place=Place.TRACE,
            name="audit",
            read=partial(log.rows_of_trace, data / log.FILE),
            columns=COLUMNS,
            cells=lambda row: (row["at"][:19], *(row[name] or "" for name in SHOWN)),
        )
    )
    hooks.panels.append(Panel(place=Place.SYSTEM, name="audit", read=lambda _: [sum_up(data)]))
