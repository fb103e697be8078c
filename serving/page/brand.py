"""The operator's name, logo and colour for the page and the sign-in, validated by `[serving.brand]`."""

from __future__ import annotations

import base64

from serving.settings import BrandSettings


def logo_address(brand: BrandSettings) -> str:
    """Return the logo as a `data:` address, which runs no script and needs no request; empty without one."""
    if brand.logo is None:
        return ""
    content = brand.logo.read_bytes()
    return f"data:{brand.media_type(content)};base64,{base64.b64encode(content).decode()}"


def colours(brand: BrandSettings, *, dark: str) -> str:
    """Return the style that replaces our colour, or nothing. `dark` is the rule for dark mode, with {} inside."""
    if (colour := brand.primary) is None:
        return ""

    def mix(percent: int, other: str) -> str:
        return f"color-mix(in srgb, {colour} {percent}%, {other})"

    in_light = f"--mark: {colour}; --on-mark: #fff; --on: #fff; --tint: {mix(12, '#fff')};"
    in_dark = f"--mark: {mix(50, '#fff')}; --on-mark: #10151f; --on: #10151f; --tint: {mix(25, '#14171c')};"
    return f":root {{ {in_light} }}\n{dark.format('{ ' + in_dark + ' }')}\n"
