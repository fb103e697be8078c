"""The whole stack.toml says the defaults: with every comment of one taken away it is the system as it starts without any."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from extensions.development.list_parts import adapters
from foundation import extensions
from foundation.settings import Part
from serving.settings import Settings
from tests.docs.reference import FOLDER

WHOLE = (FOLDER / "stack.full.toml").read_text(encoding="utf-8")
SECTIONS = re.sub(r"(?m)^# (?=\w+ = )", "", WHOLE)


def test_it_can_be_read_as_it_stands() -> None:
    tomllib.loads(WHOLE)


def test_with_its_defaults_uncommented_it_is_the_default_system() -> None:
    told = tomllib.loads(SECTIONS)
    for name in extensions.installed():
        if (section := told.pop(name, None)) is not None and (kind := extensions.find(name).settings):
            assert extensions.resolve(kind)(**section) == extensions.resolve(kind)()
    assert [part for part in told["models"]["chat"] if part != "use"], "the options of a part stand there, too"
    told["extensions"] = Settings().extensions
    settings = Settings(**told)
    assert parts_by_name(settings) == parts_by_name(Settings())


def parts_by_name(value: Any) -> Any:
    """The settings without the options of parts, which a default leaves to the part itself."""
    if isinstance(value, Part):
        return value.use
    if isinstance(value, BaseModel):
        return {name: parts_by_name(each) for name, each in value}
    return [parts_by_name(each) for each in value] if isinstance(value, tuple) else value


def test_every_adapter_and_every_option_of_one_is_named() -> None:
    chosen = [adapter for adapter in adapters() if f"[{adapter.port}]" in WHOLE]
    assert len(chosen) > 25
    for adapter in chosen:
        assert f'use = "{adapter.name}"' in WHOLE
        for option in adapter.options or {}:
            assert re.search(rf"(?m)^# +{option}( =|:)", WHOLE), f"{adapter.name}: {option}"


def test_the_short_one_leads_to_it() -> None:
    root = Path(__file__).parents[2]
    assert "docs/reference/stack.full.toml" in (root / "stack.toml").read_text(encoding="utf-8")
