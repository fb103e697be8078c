"""Write a project of one's own from a tree of the template: without what was left out, under its own name.

    python -m serving.cli.project.render TREE FOLDER COMMIT ORIGIN NAME [PART ...] [+PART ...] [=PRESET]

`make update` runs this of the template's older and newer commit, so the same choices always give the same tree. It writes files and
asks nobody: no git, no network.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from string import Template
from typing import Any

from foundation.components import PORTS
from foundation.errors import InvalidSetting
from lab.project.choices import Choices, read_optional, read_presets
from lab.project.prune import (
    CODE,
    left_out_of,
    modules_of,
    modules_without,
    packages_without,
    tests_without,
)

START = Path("lab/project/start")
OWN = "own"
"""In START: what becomes the project's own folder."""
PRESETS = "presets"
"""In START: what a preset has in another's place."""
EXAMPLE = "examples/support_desk"
TITLE = "Sixply"
PROJECT = "sixply"
"""The name of the template in its own pyproject.toml and locks."""
PIN = re.compile(r"^\S+==.*\n(?:    .*\n)+", re.MULTILINE)


def render(tree: Path, folder: Path, choices: Choices, *, commit: str, origin: str) -> None:
    """Copy `tree` to the new `folder` and make it the project that the choices describe."""
    left_out = left_out_of(tree, choices)
    modules = modules_without(tree, left_out)
    preset = read_presets(tree)[choices.only] if choices.only else {}
    shutil.copytree(tree, folder, symlinks=True)
    for path in _paths_to_remove(tree, left_out, modules, preset):
        _remove(folder / path.relative_to(tree))
    _write_start(tree / START, folder, choices, origin)
    for name in preset.get("drop", []):
        _remove(folder / name)
    packages, lines = _packages_and_lines(tree, left_out, modules, preset, folder)
    _edit(
        folder / "pyproject.toml",
        lambda text: _rename_project(_without_packages(_without_lines(text, lines), packages), choices, commit, origin),
    )
    for lock in ("requirements.lock", "requirements-dev.lock"):
        _edit(folder / lock, lambda text: prune_lock(text, packages).replace(f"{PROJECT} (py", f"{choices.name} (py"))
    _edit_texts(tree, folder, choices, left_out)
    for table in ("serving/cli/main.py", "serving/app.py"):
        _edit(folder / table, lambda text: _without_rows(text, modules))


def _paths_to_remove(
    tree: Path, left_out: AbstractSet[str], modules: AbstractSet[str], preset: Mapping[str, Any]
) -> Iterator[Path]:
    """Files and folders of the tree that the project goes without."""
    optional, files = read_optional(tree), modules_of(tree, CODE)
    for name in left_out & optional.keys():
        yield from (tree / path for kind in ("paths", "tests", "docs") for path in optional[name].get(kind, []))
    for file in (files[name] for name in modules):
        yield file.parent if file.name == "__init__.py" else file
    yield from tests_without(tree, modules, left_out, preset.get("keep_tests", []))
    if pages := {*preset.get("docs", [])}:
        pages |= {page for name in optional.keys() - left_out for page in optional[name].get("docs", [])}
        yield from (page for page in (tree / "docs").rglob("*.*") if str(page.relative_to(tree)) not in pages)


def _packages_and_lines(
    tree: Path, left_out: AbstractSet[str], modules: AbstractSet[str], preset: Mapping[str, Any], folder: Path
) -> tuple[list[str], list[str]]:
    """Packages of the tree that the project in the folder needs no more, and patterns of lines of its pyproject.toml."""
    sections = [section for name, section in read_optional(tree).items() if name in left_out]
    packages = [package for section in (*sections, preset) for package in section.get("dependencies", [])]
    packages += packages_without(tree, modules, folder)
    if packages:  # some are there for another one alone, and say so
        alone = rf'"([\w.-]+)[\[<>=~!].*# (?:{"|".join(map(re.escape, packages))}) needs it'
        packages += re.findall(alone, (tree / "pyproject.toml").read_text(encoding="utf-8"))
    lines = [re.escape(line) for section in sections for line in section.get("lines", [])]
    lines += [rf'"{re.escape(package)}[\[<>=~!]' for package in packages]
    return packages, [*lines, *(rf'"{re.escape(name)}(?: ->|" = )' for name in modules)]


def _edit_texts(tree: Path, folder: Path, choices: Choices, left_out: AbstractSet[str]) -> None:
    """What names the project, and what is gone, in its other files."""
    sections = left_out & read_optional(tree).keys()
    _edit(folder / "risks.toml", lambda text: _without_lost_controls(text, folder))
    _edit(folder / "optional.toml", lambda text: _without_sections(text, sections, folder))
    _edit(folder / "stack.toml", lambda text: _name_own(text, choices, page="page" not in left_out))
    _edit(folder / "stack.toml", lambda text: _without_offers(text, tree, folder))
    _edit(folder / "stack.toml", lambda text: _turn_on(text, folder))
    _edit(folder / "Makefile", lambda text: _without_commands(text, left_out, folder))
    for file in ("Makefile", "Dockerfile"):
        _edit(folder / file, lambda text: _without_extras(text, folder))
    _edit(folder / "CONTRIBUTING.md", lambda text: _without_template(text, folder))
    for page in (folder / "llms.txt", folder / "AGENTS.md", *(folder / ".agents").rglob("*.md")):
        _edit(page, lambda text: text.replace(EXAMPLE, choices.package).replace(f"# {TITLE}\n", f"# {choices.title}\n"))
    for page in folder.rglob("*.md"):
        _edit(page, lambda text, page=page: unlink_dead(text, page.parent))  # type: ignore[misc]


def used_by(tree: Path, choices: Choices) -> set[str]:
    """The adapters of the tree that the project's stack.toml uses, as parts: `vectors/chroma`."""
    own = tree / START / PRESETS / str(choices.only) / "stack.toml"
    stack = tomllib.loads((own if own.exists() else tree / "stack.toml").read_text(encoding="utf-8"))
    return {
        f"{folder.rpartition('.')[2]}/{part['use']}"
        for section, folder in PORTS.items()
        for layer, _, name in [section.partition(".")]
        for chosen in [stack.get(layer, {}).get(name, [])]
        for part in (chosen if isinstance(chosen, list) else [chosen])
    }


def prune_lock(text: str, gone: Iterable[str]) -> str:
    """A lock without these dependencies of the project, and without what only they needed."""
    pins = [(re.split(r"[=\[]", match.group(), maxsplit=1)[0], match.group()) for match in PIN.finditer(text)]
    needed_by: dict[str, set[str]] = defaultdict(set)
    for name, pin in pins:
        needed_by[name] |= set(re.findall(r"^    #(?: via)? +(?!via$)(\w[\w.-]*)", pin, re.MULTILINE))
    for name in gone:
        needed_by[name].discard(PROJECT)
    removed = {name for name in gone if not needed_by[name]}
    while more := {name for name, by in needed_by.items() if name not in removed and by and by <= removed}:
        removed |= more
    for name, pin in pins:
        if name in removed:
            text = text.replace(pin, "")
    return (
        re.sub(rf"^    #   (?:{'|'.join(map(re.escape, removed))})\n", "", text, flags=re.MULTILINE)
        if removed
        else text
    )


def unlink_dead(text: str, folder: Path) -> str:
    """A page with the words alone where a link led to a file that is not there."""

    def keep_or_unlink(link: re.Match[str]) -> str:
        target = link["target"].partition("#")[0]
        return link.group() if not target or "://" in target or (folder / target).exists() else link["words"]

    return re.sub(r"!?\[(?P<words>[^\]]*)\]\((?P<target>[^)\s]+)\)", keep_or_unlink, text)


def _write_start(start: Path, folder: Path, choices: Choices, origin: str) -> None:
    """What stands in START, and over it what stands in its folder of the preset."""
    # a folder of the machine that wrote the project is no link for anybody else
    template = f"[Sixply]({origin})" if re.match(r"https?://", origin) else "Sixply"
    values = {"name": choices.name, "package": choices.package, "title": choices.title, "template": template}
    for common in (True, False):
        for path in filter(Path.is_file, (start if common else start / PRESETS / str(choices.only)).rglob("*")):
            name = path.relative_to(start)
            if common == (name.parts[0] == PRESETS):
                continue
            parts = name.parts if common else name.parts[2:]
            own = folder.joinpath(*((choices.package, *parts[1:]) if parts[0] == OWN else parts))
            own.parent.mkdir(parents=True, exist_ok=True)
            own.write_text(Template(path.read_text(encoding="utf-8")).safe_substitute(values), encoding="utf-8")


def _edit(path: Path, change: Callable[[str], str]) -> None:
    if path.exists():
        text = path.read_text(encoding="utf-8")
        path.write_text(change(text), encoding="utf-8")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _without_sections(text: str, names: Iterable[str], folder: Path) -> str:
    for name in names:
        text = re.sub(rf"^\[{name}\]\n(?:(?!\[).*\n)*", "", text, flags=re.MULTILINE)
    return re.sub(
        r'^  "([^"]+)",\n', lambda line: line.group() if (folder / line[1]).exists() else "", text, flags=re.MULTILINE
    )


def _without_lost_controls(text: str, folder: Path) -> str:
    """The risk register without the controls whose code or test is gone, and without the risks that none is left of."""
    head, *risks = text.split("[[risks]]\n")
    kept = []
    for risk in risks:
        about, *controls = risk.split("[[risks.controls]]\n")
        files = [re.findall(r'^(?:code|test) = "([^":]+)', control, re.MULTILINE) for control in controls]
        left = [
            control
            for control, places in zip(controls, files, strict=True)
            if all((folder / place).exists() for place in places)
        ]
        if left:
            kept.append("[[risks.controls]]\n".join([about, *left]))
    return "[[risks]]\n".join([head, *kept])


def _without_template(text: str, folder: Path) -> str:
    """The guide for contributors without what it says of the template alone, and of folders and files that are gone."""
    text = re.sub(r"^\n?^<!-- of the template alone.*?^<!-- end -->\n", "", text, flags=re.MULTILINE | re.DOTALL)

    def is_gone(line: str) -> bool:
        of_row = line.rpartition(" | ")[2] if line.startswith("| ") else ""
        places = re.findall(r"^([a-z]+/) {2,}", line) or re.findall(r"`([\w.]+/[\w./]*)`", of_row)
        return bool(places) and not any((folder / place).exists() for place in places)

    kept = "".join(line for line in text.splitlines(keepends=True) if not is_gone(line))
    return kept if (folder / "lab").exists() else kept.replace(", docs/, lab/\n", ", docs/\n")


def _name_own(text: str, choices: Choices, *, page: bool) -> str:
    package = choices.package
    looks = '\n# [page]\n# logo = "logo.svg"\n# primary = "#2457c5"\n' if page else ""
    # the commented example would be a second section of one name for whoever uncomments it
    text = re.sub(r"# \[(?:serving\.brand|page)\].*\n(?:#.*\n)*\n", "", text) + (
        f'\n[serving.brand]\nname = "{choices.title}"\n{looks}'
    )
    text = text.replace("examples.support_desk.tools:build", f"{package}.tools:build")
    own = f'[observability]\ngolden_set = "{package}"      # golden.jsonl, and the corpus/ that its questions are about\n\n'
    return text.replace("[[observability.exporters]]", own + "[[observability.exporters]]")


def _turn_on(text: str, folder: Path) -> str:
    """Its stack.toml with the extensions that it has on; in one of a preset, which lists none, those that were kept beside it."""
    there = sorted(file.parent.name for file in folder.glob("extensions/*/__init__.py"))
    listed = tomllib.loads(text).get("extensions")
    names = there if listed is None else [name for name in listed if name in there]
    text = re.sub(r"^extensions = .*\n\n", "", text, flags=re.MULTILINE)
    head, section, rest = text.partition("\n[")
    return f"{head.rstrip()}\nextensions = {json.dumps(names)}\n{section}{rest}" if names else text


def _without_offers(text: str, tree: Path, folder: Path) -> str:
    """Its stack.toml without the adapters that a comment lists (`or: postgres, memory`) and that it goes without."""
    lines, places = [], {f"[{section}]": place.replace(".", "/") for section, place in PORTS.items()}
    place = ""
    for line in text.splitlines():
        place = places.get(line, "" if line.startswith("[") else place)
        head, _, listed = line.partition("or: ")
        files = {item: f"{place}/{item.split(' ')[0]}.py" for item in listed.split(", ")}
        left = [item for item, file in files.items() if (folder / file).exists() or not (tree / file).exists()]
        if len(left) == len(files) or listed.count("(") > listed.count(")"):  # the last goes on in the next line
            lines.append(line)
        elif any((folder / files[item]).exists() for item in left):
            lines.append(f"{head}or: {', '.join(left)}")
        else:
            lines.append(re.sub(r"[ #;]*$", "", head))
    return "\n".join(lines) + "\n"


def _without_lines(text: str, gone: Iterable[str]) -> str:
    """The text without the lines that begin with one of these patterns."""
    patterns = re.compile("|".join(gone) or r"(?!)")
    return "".join(line for line in text.splitlines(keepends=True) if not patterns.match(line.strip()))


def _without_rows(text: str, modules: Iterable[str]) -> str:
    """A table of modules, such as that of the commands, without the rows of those that are gone and without empty groups."""
    names = "|".join(map(re.escape, modules)) or "(?!)"
    text = _without_lines(text, [rf'"[\w-]+": \("(?:{names}):', rf'"(?:{names})",$'])
    return re.sub(r'^ +"[^"\n]+": \{\n +\},\n', "", text, flags=re.MULTILINE)


def _without_commands(text: str, left_out: Iterable[str], folder: Path) -> str:
    """The Makefile without what it says of commands that are gone, and without `test-quick` where its program is gone."""
    gone = [rf"make {name} " for name in left_out if "/" not in name]
    if not (folder / "tests/quick.py").exists():
        gone += [r"test-quick[.:]", r"@\$\(BIN\)/python -m tests\.quick", r".*make test-quick"]
        text = text.replace(" test test-quick ", " test ")
    return re.sub(r"^[A-Z]\w+\n\n(?=[A-Z])", "", _without_lines(text, gone), flags=re.MULTILINE)


def _without_extras(text: str, folder: Path) -> str:
    """The text with those of `WITH=postgres,redis` that the project's pyproject.toml still has."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project.get("optional-dependencies", {})
    left = re.sub(
        r"WITH=([a-z,]+)",
        lambda names: f"WITH={','.join(each for each in names[1].split(',') if each in extras)}",
        text,
    )
    return left.replace(" [WITH=]", "")


def _without_packages(text: str, packages: Iterable[str]) -> str:
    """The extras of pyproject.toml without these packages, and without the extras that have no other."""
    one = re.compile(rf'"(?:{"|".join(map(re.escape, packages)) or "(?!)"})[\[<>=~!][^"]*"(?:, )?')
    lines = [(line, one.sub("", line).replace(", ]", "]")) for line in text.splitlines(keepends=True)]
    return "".join(after for before, after in lines if after == before or not after.endswith("= []\n"))


def _rename_project(text: str, choices: Choices, commit: str, origin: str) -> str:
    for before, after in (
        ('name = "sixply"\n', f'name = "{choices.name}"\n'),
        ("[project.scripts]\n", f'[project.scripts]\n{choices.name} = "serving.cli.main:main"\n'),
        ('"lab*"]', f'"{choices.package}*"]'),
        ('"examples", "lab"]\n', f'"examples", "{choices.package}"]\n'),
    ):
        if before not in text:
            raise InvalidSetting(
                f"pyproject.toml has no {before.strip()!r}; the template changed, and {__file__} has to."
            )
        text = text.replace(before, after)
    about = f'description = "{choices.title}, an AI system in six layers."'
    text = re.sub(r"^description = .*$", about, text, count=1, flags=re.MULTILINE)
    without = ", ".join(f'"{name}"' for name in choices.without)
    keep = ", ".join(f'"{name}"' for name in choices.keep)
    chosen = f'only = "{choices.only}"\nkeep = [{keep}]\n' if choices.only else ""
    return f"""{text}
[tool.sixply] # what this project was made from; `make update` reads and renews it
origin = "{origin}"
base = "{commit}"
without = [{without}]
{chosen}"""


def main(arguments: Sequence[str]) -> None:
    tree, folder, commit, origin, name, *words = arguments
    render(Path(tree), Path(folder), Choices.of(name, words), commit=commit, origin=origin)


if __name__ == "__main__":
    main(sys.argv[1:])
