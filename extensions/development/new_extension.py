"""`sixply extension`: write a new extension with its test and page."""

import keyword
import re
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from foundation.errors import InvalidRequest
from serving.cli import terminal

NAME = re.compile(r"[a-z][a-z0-9_]*")


def extension(name: Annotated[str, typer.Argument(help="The folder in extensions/.")]) -> None:
    """Write a new extension with its test and page, ready to fill in."""
    for path in write(name):
        terminal.show(f"wrote {path}")
    terminal.show(
        f"Now: make add NAME={name}, then make test ARGS=tests/extensions/{name}. docs/extensions/index.md lists the hooks."
    )


def write(name: str, root: Path = Path()) -> list[Path]:
    """Write the files and return them. Raises InvalidRequest: the name cannot be one or is taken, or this is no project's root."""
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise InvalidRequest(f'"{name}" cannot name an extension. Use small letters, digits and _, such as NAME=acme.')
    if not (root / "extensions").is_dir():
        raise InvalidRequest("There is no folder extensions/ here. Run from the repository's root.")
    if (root / "extensions" / name).exists():
        raise InvalidRequest(f"extensions/{name} is there already and was left alone. Choose another name.")
    words, paths = {"name": name, "title": name.replace("_", " ").capitalize()}, []
    for place, text in FILES.items():
        path = root / Template(place).substitute(words)
        if path.suffix == ".md" and not path.parent.is_dir():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Template(text).substitute(words), encoding="utf-8")
        paths.append(path)
    return paths


FILES = {
    "extensions/$name/__init__.py": '''"""$title: one sentence on what a system has with it."""

from foundation.extensions import Extension

extension = Extension(
    about="One sentence on what a system has with it.",
    plug="extensions.$name.plug:plug",
)
''',
    "extensions/$name/plug.py": '''"""Where $name plugs in."""

from serving.hooks import Hooks


def plug(hooks: Hooks) -> None:
    hooks.routers.append("extensions.$name.routes:router")
''',
    "extensions/$name/routes.py": '''"""Its route, as an example: who is asking?"""

from fastapi import APIRouter

from serving.access.identity import Asker

router = APIRouter(prefix="/v1/$name", tags=["$name"])


@router.get("")
async def greet(caller: Asker) -> dict[str, str]:
    """Tell the caller who they are."""
    return {"subject": caller.subject, "tenant": caller.tenant}
''',
    "tests/extensions/$name/test_plug.py": '''"""$name as an extension: on it is there, off nothing of it is."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from serving.app import create_app
from tests.doubles.serving import world


@pytest.mark.parametrize(("on", "status"), [(("$name",), 200), ((), 404)])
async def test_its_route_is_there_while_it_is_on(tmp_path: Path, on: tuple[str, ...], status: int) -> None:
    given = world(tmp_path, extensions=on)
    transport = httpx2.ASGITransport(create_app(given.system))
    headers = {"Authorization": f"Bearer {given.reader}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
        assert (await client.get("/v1/$name")).status_code == status
''',
    "docs/extensions/$name.md": """# $title

    make add NAME=$name

One sentence on what a system has with it, what it costs, and what stays when it is turned off.
""",
}
