"""A signed POST to an address of yours for each approval that waits."""

from foundation.extensions import Extension

extension = Extension(
    about="A signed POST to an address of yours, a chat, a pager or a ticket, for each approval that waits.",
    settings="extensions.notifier.settings:NotifierSettings",
    plug="extensions.notifier.plug:plug",
)
