"""Two lines in the log for an outage, where a library that tries again and again writes one for each try."""

import logging
from collections import Counter

log = logging.getLogger(__name__)

# how the lines of psycopg's pool and of OpenTelemetry's exporters begin
FAILURES = ("error connecting", "reconnection attempt", "Transient error", "Failed to export")


class Outage(logging.Filter):
    """A filter that passes a service's first failure, and the first of each HTTP status, then none until `end`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.lines: Counter[object] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        if not str(record.msg).startswith(FAILURES):
            return True
        # another status needs another act: a collector that is up again may refuse the key
        status = isinstance(record.args, tuple) and "code: %s" in record.msg and record.args[1]
        self.lines[status] += 1
        record.msg += " (There is no more about this until it is back.)"
        return self.lines[status] == 1

    def end(self) -> None:
        if lines := self.lines:
            self.lines = Counter()
            log.warning("%s is back. %d more lines about it were left out.", self.name, lines.total() - len(lines))
