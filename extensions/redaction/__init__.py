"""Personal data taken out of logs, of traces that hold content, and of notes on answers."""

from foundation.extensions import Extension

extension = Extension(
    about="Personal data taken out of logs, of traces that hold content, and of notes on answers.",
    extra="redaction",
    plug="extensions.redaction.plug:plug",
)
