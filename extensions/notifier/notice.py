"""What is told outside of an approval that waits."""

from datetime import datetime

from orchestration.requests import Noun


class ApprovalNotice(Noun):
    """A notice of a pending approval for outside channels: no arguments, no person's words, no requester."""

    approval_id: str
    tenant: str
    tool: str
    requested_at: datetime
    expires_at: datetime
    link: str = ""
    """Link to decide it, from `[notifier] link`; empty: none."""
