"""What mkdocs does beside building docs/: it lists the pages of the extensions, and draws diagrams without the network."""

from __future__ import annotations

import importlib.util
import shutil
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


def on_config(config: Any) -> Any:
    """Take the page of every extension into the navigation."""
    folder = Path(config.docs_dir)
    pages = [f"extensions/{page.name}" for page in sorted(folder.glob("extensions/*.md")) if page.stem != "index"]
    for entry in config.nav:
        entry.get("Extensions", []).extend(pages)
    return config


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
