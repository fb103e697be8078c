"""For commands that write a report as one page of HTML: its plots as SVG, and a page that loads nothing."""

from foundation.extensions import Extension

extension = Extension(
    about="For commands that write a report as one page of HTML: its plots as SVG, and a page that loads nothing.",
)
