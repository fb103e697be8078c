"""What mkdocs does beside building docs/: it leaves out pages that were deleted as optional, and draws diagrams without the network."""

from __future__ import annotations

import importlib.util
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DRAWING = """<style>.md-typeset pre.drawing > code { background: white; text-align: center }
.drawing .md-code__nav { display: none }</style>
<script type="module">
import { mermaid } from "./%s";
mermaid.initialize({ startOnLoad: false });
await mermaid.run({ querySelector: "pre.drawing code" });
</script></body>"""


def optional_pages() -> set[Path]:
    """What may be missing: the pages that optional.toml lets people delete; any, in a project that `make new` wrote without them."""
    optional = tomllib.loads((ROOT / "optional.toml").read_text(encoding="utf-8"))
    listed = {ROOT / path for part in optional.values() for path in [*part["paths"], *part.get("docs", [])]}
    made_by_new = "sixply" in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8")).get("tool", {})
    return {path for path in listed if not path.exists()} | ({ROOT} if made_by_new else set())


def may_be_missing(path: Path) -> bool:
    return not path.exists() and any(optional in (path, *path.parents) for optional in optional_pages())


def on_config(config: Any) -> Any:
    """Leave pages that were deleted out of the navigation, and take in that of every extension."""
    folder = Path(config.docs_dir)
    config.nav = prune_nav(config.nav, folder)
    pages = [f"extensions/{page.name}" for page in sorted(folder.glob("extensions/*.md")) if page.stem != "index"]
    for entry in config.nav:
        entry.get("Extensions", []).extend(pages)
    return config


def prune_nav(entries: Any, folder: Path) -> Any:
    if isinstance(entries, list):
        return [kept for entry in entries if (kept := prune_nav(entry, folder))]
    if isinstance(entries, dict):
        return {title: kept for title, entry in entries.items() if (kept := prune_nav(entry, folder))}
    return None if may_be_missing(folder / entries) else entries


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Leave the words alone of a link to a page that was deleted."""

    def keep_or_unlink(link: re.Match[str]) -> str:
        target = (Path(page.file.abs_src_path).parent / link["target"].partition("#")[0]).resolve()
        return link["words"] if "://" not in link["target"] and may_be_missing(target) else link.group()

    return re.sub(r"!?\[(?P<words>[^\]]*)\]\((?P<target>[^)\s]+)\)", keep_or_unlink, markdown)


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Draw the page's diagrams by NiceGUI's copy of mermaid; where NiceGUI is not installed their text is shown."""
    drawings = find_mermaid()
    if 'class="drawing"' not in output or not drawings:
        return output
    shutil.copytree(drawings, Path(config.site_dir) / "assets" / "mermaid", dirs_exist_ok=True)
    above = "../" * page.file.dest_uri.count("/")
    return output.replace("</body>", DRAWING % f"{above}assets/mermaid/index.js")


def find_mermaid() -> Path | None:
    spec = importlib.util.find_spec("nicegui")
    folder = Path(spec.origin).parent / "elements" / "mermaid" / "dist" if spec and spec.origin else None
    return folder if folder and (folder / "index.js").exists() else None
