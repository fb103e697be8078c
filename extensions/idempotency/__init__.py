"""The same request sent twice is done once: `Idempotency-Key`."""

from foundation.extensions import Extension

extension = Extension(
    about="The same request sent twice is done once: `Idempotency-Key`.",
    stores="extensions.idempotency.replies:STORES",
    plug="extensions.idempotency.plug:plug",
)
