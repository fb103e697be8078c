"""The operator's name, logo and colour as the page and the sign-in show them. `[serving.brand]` has checked them."""

from __future__ import annotations

import base64

from serving.settings import BrandSettings


def logo_address(brand: BrandSettings) -> str:
    """The logo as a `data:` address, which runs no script and is asked of nobody; empty without one."""
    if brand.logo is None:
        return ""
    content = brand.logo.read_bytes()
    return f"data:{brand.media_type(content)};base64,{base64.b64encode(content).decode()}"


def colours(brand: BrandSettings) -> str:
    """The style that puts the colour in place of ours, lightened where it is dark around."""
    if (colour := brand.primary) is None:
        return ""

    def mixed(percent: int, other: str) -> str:
        return f"color-mix(in srgb, {colour} {percent}%, {other})"

    return (
        f":root, .body--dark {{ --mark: light-dark({colour}, {mixed(50, '#fff')}); --on-mark: light-dark(#fff, #10151f); "
        f"--on: light-dark(#fff, #10151f); --tint: light-dark({mixed(12, '#fff')}, {mixed(25, '#14171c')}); }}"
    )
