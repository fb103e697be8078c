"""The section [page]: the operator's logo and colour."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from extensions.page import brand
from extensions.page.brand import Brand
from foundation.settings import BESIDE_STACK, Section
from serving.wiring import System


class PageSettings(Section):
    """The look of the page and of the sign-in. The name on them is that of [serving.brand]."""

    logo: Path | None = Field(default=None, json_schema_extra=BESIDE_STACK)
    """An SVG without scripts, a PNG, JPEG or WebP of at most 200 kB."""
    primary: str | None = Field(default=None, pattern=r"^#[0-9a-fA-F]{6}$")
    """Colour of buttons and links, such as #2457c5; dark enough to be read on white."""

    @model_validator(mode="after")
    def _check(self) -> PageSettings:
        brand.check(self.logo, self.primary)
        return self


def brand_of(system: System) -> Brand:
    look = system.hooks.section(PageSettings)
    return Brand(system.settings.serving.brand.name, look.logo, look.primary)
