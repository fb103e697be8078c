"""Time limits for clients that send or read slowly, and on the heads and the framing of requests. Without it a proxy in front has them."""

from foundation.extensions import Extension

extension = Extension(
    about="Time limits for clients that send or read slowly, which a proxy in front has otherwise.",
    plug="extensions.slow_clients.plug:plug",
)
