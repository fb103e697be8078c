"""A conversation goes on from an earlier answer, as a copy: what was asked after it is left out, what was done stays done."""

from foundation.extensions import Extension

extension = Extension(
    about="A conversation goes on from an earlier answer, as a copy; what was done after it stays done and is not done again.",
    plug="extensions.forks.plug:plug",
)
