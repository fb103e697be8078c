"""A hash chain of every tool call, decision and answer, each written before its outcome is returned."""

from foundation.extensions import Command, Extension

extension = Extension(
    about="A hash chain of every tool call, decision and answer, each written before its outcome is returned.",
    stores="extensions.audit.log:STORES",
    commands=(
        Command(
            name="audit-verify",
            group="Records and personal data",
            about="Verify the audit log.",
            call="extensions.audit.command:audit_verify",
        ),
    ),
    plug="extensions.audit.plug:plug",
)
