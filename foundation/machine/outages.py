"""Two lines in the log for an outage, where a library that tries again and again writes one for each try."""

import logging

log = logging.getLogger(__name__)

# how the lines of psycopg's pool and of OpenTelemetry's exporters begin
FAILURES = ("error connecting", "reconnection attempt", "Transient error", "Failed to export")


class Outage(logging.Filter):
    """A filter named after a service: it lets the first failure through, then none until `end` says that it is back."""

    lines = 0

    def filter(self, record: logging.LogRecord) -> bool:
        if not str(record.msg).startswith(FAILURES):
            return True
        self.lines += 1
        record.msg += " (There is no more about this until it is back.)"
        return self.lines == 1

    def end(self) -> None:
        if lines := self.lines:
            self.lines = 0
            log.warning("%s is back. %d more lines about it were left out.", self.name, lines - 1)
