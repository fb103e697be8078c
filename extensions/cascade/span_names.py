"""What the span of a cascade says."""

from typing import Final

WENT_UP: Final = "sixply.cascade.went_up"
"""Cheaper models whose answers were not taken, with the reasons."""
