"""Commands that ask a running server: `make ask`, `ingest`, `approve`. Without it they need the server to be stopped; its API stays."""

from foundation.extensions import Extension

extension = Extension(
    about="Commands that ask a running server: `make ask`, `ingest` and `approve` need no stop of it.",
    plug="extensions.served.plug:plug",
)
