"""Where redaction plugs in: what is exported or stored passes it, and each line of the log while the system is open."""

import logging

from extensions.redaction.personal_data import redact
from foundation.output.credentials import mask_text
from serving.hooks import Hooks


class PersonalDataRedactor:
    """Implements `observability.contract.Redactor`."""

    def redact(self, text: str) -> str:
        return redact(text)


class RedactedLog(logging.Filter):
    """Redacts the messages of this process's log, until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self._handlers = list(logging.getLogger().handlers)
        for handler in self._handlers:
            handler.addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        # keys first: a key that was cut by another finding would no longer be recognised
        record.msg, record.args = redact(mask_text(record.getMessage())), ()
        return True

    def close(self) -> None:
        for handler in self._handlers:
            handler.removeFilter(self)


def plug(hooks: Hooks) -> None:
    hooks.services.append(PersonalDataRedactor())
    hooks.keep(RedactedLog())
