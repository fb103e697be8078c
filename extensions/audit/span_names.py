"""What a span says of the audit."""

from typing import Final

AUDIT_HEAD: Final = "sixply.audit.head"
"""Count and hash of the audit's last record, so that a copy leaves the machine with the spans."""
