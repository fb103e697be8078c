"""A file without end in a folder that the server follows, where whoever may write is not whoever runs the server."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from lab.attacks.contract import Attack, Tried

if TYPE_CHECKING:
    from lab.attacks.victim import Victim

FOLDER, BYTES, GROWTH_BYTES, PATIENCE_S = "theirs", 1_500_000_000, 800_000_000, 60.0
STACK = f"""
[sources]
every_s = 1
[[sources.connections]]
name = "theirs"
tenant = "followed"
source = {{ use = "folder", path = "{FOLDER}", rights = false }}
"""


def put_film(victim: Victim) -> Tried:
    """Put a long file into the folder, and a short one behind it; watch the memory until the short one is found."""
    tried, before, most = Tried(), victim.rss_bytes(), 0
    person, folder = victim.person("fay", "agent", tenant="followed"), victim.folder / FOLDER
    filling = victim.folder / "filling"
    filling.mkdir()
    with (filling / "film.md").open("wb") as film:
        os.truncate(film.fileno(), BYTES)
    (filling / "zebra.md").write_text("Zebras are counted at noon.", encoding="utf-8")
    filling.rename(folder)
    give_up, found = time.monotonic() + PATIENCE_S, False
    while not found and time.monotonic() < give_up:
        found = any("zebra" in it["uri"] for it in person.get("/v1/documents").json()["documents"])
        most = max(most, victim.rss_bytes())
        time.sleep(0.05)
    tried.check(held=found, otherwise="what stands beside the long file is not followed")
    tried.check(held=most - before < GROWTH_BYTES, otherwise=f"{(most - before) / 1e6:,.0f} MB more")
    return tried


def read_whole() -> None:
    """A file of a source is read as long as it is."""
    from extensions.sources import plug

    vars(plug)["most_read"] = lambda _: 10**12


ATTACKS = (
    Attack(
        name="film-in-a-source",
        title="a long file in a folder that is followed fills the memory",
        run=put_film,
        reopen=read_whole,
        stack=STACK,
        alone=True,
    ),
)
