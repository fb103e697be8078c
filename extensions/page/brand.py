"""The operator's name, logo and colour for the page and the sign-in."""

import base64
import re
from dataclasses import dataclass
from pathlib import Path

MOST_BYTES = 200_000


@dataclass(frozen=True)
class Brand:
    """The name of [serving.brand], and the look of [page]."""

    name: str
    logo: Path | None
    primary: str | None


def check(logo: Path | None, primary: str | None) -> None:
    """Raises ValueError: the logo cannot be read or is not accepted, or the colour cannot be read on white."""
    if logo is not None:
        try:
            content = logo.read_bytes()
        except OSError as error:
            raise ValueError(f"the logo {logo} cannot be read: {error.strerror}") from error
        if len(content) > MOST_BYTES:
            raise ValueError(f"the logo has {len(content):,} bytes; at most {MOST_BYTES:,} are taken")
        media_type_of(content)
    if primary is not None:
        # relative luminance and contrast as WCAG 2.2 defines them
        channels = [int(primary[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        contrast = 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)
        if contrast < 4.5:
            raise ValueError(f"{primary} on white has a contrast of {contrast:.1f}; 4.5 can be read. Take a darker one")


def media_type_of(content: bytes) -> str:
    """Return an image's media type by its content, not its name. Raises ValueError: the image is not accepted."""
    for start, media_type in {
        b"\x89PNG\r\n": "image/png",
        b"\xff\xd8\xff": "image/jpeg",
        b"RIFF": "image/webp",
    }.items():
        if content.startswith(start):
            return media_type
    if re.search(rb"<svg[\s>]", content) is None:
        raise ValueError("the logo is no SVG, PNG, JPEG or WebP")
    refused = re.search(
        rb"<\s*(?:[\w-]+:)?(?:script|foreignObject|iframe|style|!DOCTYPE|!ENTITY)\b|\bon\w+\s*=|javascript:|href\s*=\s*[\"'](?!#)|url\((?!#)",
        content,
        re.IGNORECASE,
    )
    if refused:
        raise ValueError(f"the logo holds {refused[0].decode(errors='replace')!r}: an SVG may hold shapes alone")
    return "image/svg+xml"


def logo_address(brand: Brand) -> str:
    """Return the logo as a `data:` address, which runs no script and needs no request; empty without one."""
    if brand.logo is None:
        return ""
    content = brand.logo.read_bytes()
    return f"data:{media_type_of(content)};base64,{base64.b64encode(content).decode()}"


def colours(brand: Brand, *, dark: str) -> str:
    """Return the style that replaces our colour, or nothing. `dark` is the rule for dark mode, with {} inside."""
    if (colour := brand.primary) is None:
        return ""

    def mix(percent: int, other: str) -> str:
        return f"color-mix(in srgb, {colour} {percent}%, {other})"

    in_light = f"--mark: {colour}; --on-mark: #fff; --on: #fff; --tint: {mix(12, '#fff')};"
    in_dark = f"--mark: {mix(50, '#fff')}; --on-mark: #10151f; --on: #10151f; --tint: {mix(25, '#14171c')};"
    return f":root {{ {in_light} }}\n{dark.format('{ ' + in_dark + ' }')}\n"
