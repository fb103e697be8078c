"""Write a project of one's own from a tree of the template: the core, its extensions, your starting files, your name.

    python -m lab.project.render TREE FOLDER COMMIT ORIGIN NAME [EXTENSION ...]

`make update` runs this of the template's older and newer commit, so the same choices always give the same tree. It writes files and
asks nobody: no git, no network.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import cache, partial
from pathlib import Path
from string import Template

from foundation.errors import InvalidSetting
from lab.project.choices import Choices, Declared, read_extensions, with_required
from lab.project.locks import SETUP, keep_pins, packages_of, with_pins, without_extras

START = Path("lab/project/start")
OWN = "own"
"""In START: what becomes the project's own folder."""
EXAMPLE = "examples/support_desk"
WITHOUT_TOOLS = 'without_tools = "quoting"     # answers from documents alone, for a chat model that calls no tools'
TITLE = "Sixply"
PROJECT = "sixply"
"""The name of the template in its own pyproject.toml and locks."""
OF_THE_TEMPLATE = (
    "lab",
    "tests/lab",
    "examples",
    "tests/examples",
    ".ci",
    ".github/workflows",
    "docs/learn.md",  # the small programs in examples/
    "docs/observability/governance-question.md",  # a story of the example company
    "docs/your-own.md",  # how to begin beside the example company
)
"""What proves the template, shows it at work or is about it alone."""
OF_IT_ALONE = re.compile(r"^\n?^<!-- of the template alone.*?^<!-- end -->\n", re.MULTILINE | re.DOTALL)
"""What a page says of the template, or shows with the example company."""
LINES_OF_IT_ALONE = re.compile(r"^# of the template alone.*?^# end\n", re.MULTILINE | re.DOTALL)
"""The same in a file whose comments begin with #."""
_SENT_TO_THE_LAB = re.compile(r" (?:\([^()\n]*`lab/[^`]*`\)|(?:More|Results): `lab/[^`]*`\.)")
_OF_EXTENSION = re.compile(r"(?:tests\.)?extensions\.(\w+)")
RULES_OF_EXTENSIONS = {
    "page": r'^ignore_imports = \["extensions\.page\..*\n',
    "ray": r'^\[\[tool\.importlinter\.contracts\]\]\nname = "Ray: .*\n(?:\w.*\n)+\n',
}
"""Of pyproject.toml: an import that only the extension makes, and a rule about it alone."""
EXTRAS_OF_THE_LAB = ("finetune",)


def render(tree: Path, folder: Path, choices: Choices, *, commit: str, origin: str) -> None:
    """Copy `tree` to the new `folder` and make it the project that the choices describe."""
    declared = read_extensions(tree)
    names = with_required(choices.extensions, declared)
    left_out = declared.keys() - names
    shutil.copytree(tree, folder, symlinks=True)
    pages = [
        file.relative_to(tree).as_posix() for file in tree.glob("tests/docs/test_*.py")
    ]  # they test the template's pages
    for path in (*OF_THE_TEMPLATE, *pages, *places_of(left_out)):
        _remove(folder / path)
    for file in find_tests_of([*left_out], folder):
        file.unlink()
    _write_start(tree / START, folder, choices, origin)
    used = {declared[name].extra for name in names}
    unused = {declared[name].extra for name in left_out} - used
    _write_packages(folder, choices, {*left_out, *unused, *EXTRAS_OF_THE_LAB} - {""}, used - {""})
    _edit(folder / "pyproject.toml", lambda text: _rename_project(text, choices, names, commit, origin))
    _edit_texts(folder, choices, names, {part for name in left_out for part, _ in declared[name].parts})
    _edit_reference(folder, [declared[name] for name in left_out])


def places_of(extensions: Iterable[str]) -> Iterator[str]:
    """Where the code of an extension stands, its tests and its page."""
    for name in extensions:
        yield from (f"extensions/{name}", f"tests/extensions/{name}", f"docs/extensions/{name}.md")


def find_tests_of(left_out: Sequence[str], folder: Path) -> list[Path]:
    """The modules of tests that use an extension that the project has not, beside their own."""
    uses = {file: _names_used(file.read_text(encoding="utf-8")) for file in (folder / "tests/extensions").rglob("*.py")}
    lost = [file for file, names in uses.items() if not names.isdisjoint(left_out)]
    while more := [
        file for file in uses if file not in lost and any(_module(one, folder) in uses[file] for one in lost)
    ]:
        lost += more
    return lost


@cache
def _names_used(text: str) -> set[str]:
    """The extensions that a module of tests imports or turns on by `extensions=`, and the modules of tests that it imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom | ast.Import):
            base = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names = [*base, *(".".join([*base, name.name]) for name in node.names)]
            found |= {*names, *(match[1] for name in names if (match := _OF_EXTENSION.match(name)))}
        elif isinstance(node, ast.keyword) and node.arg == "extensions":
            found |= {
                each.value
                for each in ast.walk(node.value)
                if isinstance(each, ast.Constant) and isinstance(each.value, str)
            }
    return found


def _module(file: Path, folder: Path) -> str:
    return ".".join(file.relative_to(folder).with_suffix("").parts)


def _write_packages(folder: Path, choices: Choices, gone: Iterable[str], used: Iterable[str]) -> None:
    """Take out of pyproject.toml what only these extras need, and of the locks what nothing needs any more."""
    pyproject = folder / "pyproject.toml"
    _edit(pyproject, lambda text: without_extras(text, [*gone]))
    run, develop = packages_of(pyproject, used, [SETUP]), packages_of(pyproject)
    every = (folder / "requirements-dev.lock").read_text(encoding="utf-8")
    _edit(folder / "requirements.lock", lambda text: keep_pins(with_pins(text, every, run), run, PROJECT, choices.name))
    _edit(folder / "requirements-dev.lock", lambda text: keep_pins(text, develop, PROJECT, choices.name))


def _edit_texts(folder: Path, choices: Choices, names: Sequence[str], lost_parts: AbstractSet[str]) -> None:
    """What names the project, and what is gone, in its other files."""
    _edit(folder / "risks.toml", lambda text: _without_lost_controls(text, folder))
    _edit(folder / "Makefile", lambda text: re.sub(r" ?\$\((?:start_text|more_text|also_checked)\)", "", text))
    for file in ("Makefile", "pyproject.toml"):
        _edit(folder / file, lambda text: LINES_OF_IT_ALONE.sub("", text))
    _name_project(folder, choices)
    _edit(folder / "stack.toml", lambda text: _name_own(text, choices, names, folder, lost_parts))
    for file in ("Makefile", "Dockerfile"):
        _edit(folder / file, lambda text: _without_lost_extras(text, folder))
    for page in (folder / "CONTRIBUTING.md", folder / "AGENTS.md", *(folder / "docs").rglob("*.md")):
        if page.parent.name == "reference":  # made from the code
            continue
        _edit(page, lambda text: _without_template(text, folder))
    for page in (folder / "AGENTS.md", folder / "llms.txt", *(folder / ".agents").rglob("*.md")):
        _edit(page, lambda text: text.replace(EXAMPLE, choices.package).replace(f"# {TITLE}\n", f"# {choices.title}\n"))
    for page in (folder / "llms.txt", folder / "mkdocs.yml", folder / "docs/README.md"):
        _edit(page, lambda text: _without_lost_pages(text, folder))
    for page in folder.rglob("*.md"):
        _edit(page, lambda text, page=page: unlink_dead(OF_IT_ALONE.sub("", text), page.parent))  # type: ignore[misc]
    _remove_pictures_not_shown(folder)


def _name_project(folder: Path, choices: Choices) -> None:
    """Put the project's name where another program shows the template's."""
    for file, line in (
        (".devcontainer/devcontainer.json", f'"name": "{TITLE}"'),
        ("compose.yaml", f"name: {PROJECT}\n"),
        ("mkdocs.yml", f"site_name: {TITLE}\n"),
    ):
        named = line.replace(TITLE, choices.title).replace(PROJECT, choices.name)
        _edit(folder / file, partial(_replace_line, line, named))


def _remove_pictures_not_shown(folder: Path) -> None:
    shown = "".join(page.read_text(encoding="utf-8") for page in folder.rglob("*.md"))
    for picture in (folder / "docs/pictures").glob("*"):
        if f"pictures/{picture.name}" not in shown:
            picture.unlink()


def _replace_line(line: str, named: str, text: str) -> str:
    return text.replace(line, named, 1)


def _edit_reference(folder: Path, left_out: Iterable[Declared]) -> None:
    """Take out of the pages that are made from the code what extensions bring that the project has not."""
    reference, parts = folder / "docs/reference", folder / "docs/swap/parts.md"
    for extension in left_out:
        name = re.escape(extension.name)
        heading = rf"^## (?:With the extension {name}|\[+{name}(?:\.[\w.]+)?\]+)\n(?:(?!## ).*\n)*"
        tables = rf"(?:\n#   \[\[{name}\..*\n(?:#.*\n)*)*"
        section = rf"^(?:# .*\n)*\[{name}(?:\.[\w.]+)?\]\n(?:#.*\n)*{tables}\n?"
        for page in ("commands.md", "routes.md", "settings.md", "telemetry.md"):
            _edit(reference / page, partial(_without, heading))
        _edit(reference / "stack.full.toml", partial(_without, section))
        for place, _, part in (brought.partition("/") for brought, _ in extension.parts):
            _edit(parts, partial(_without_row, place, part))
            _edit(reference / "stack.full.toml", partial(_without_choice, place, part))


def _without(lost: str, text: str) -> str:
    return re.sub(lost, "", text, flags=re.MULTILINE).rstrip("\n") + "\n"


def _without_row(place: str, part: str, text: str) -> str:
    """The page of parts without a row of one port."""
    return re.sub(
        rf"(^## {re.escape(place)}\n(?:(?!## ).*\n)*?)\| `{re.escape(part)}`.*\n", r"\1", text, flags=re.MULTILINE
    )


def _without_choice(place: str, part: str, text: str) -> str:
    """The page of all settings without a choice of one port and its options."""
    port = rf"(^(?:# )?\[+{re.escape(place)}\]+\n(?:.+\n)*?)"
    return re.sub(rf'{port}#   use = "{re.escape(part)}".*\n(?:#     .*\n)*', r"\1", text, flags=re.MULTILINE)


def unlink_dead(text: str, folder: Path) -> str:
    """A page with the words alone where a link led to a file that is not there."""

    def keep_or_unlink(link: re.Match[str]) -> str:
        target = link["target"].partition("#")[0]
        return link.group() if not target or "://" in target or (folder / target).exists() else link["words"]

    return re.sub(r"!?\[(?P<words>[^\]]*)\]\((?P<target>[^)\s]+)\)", keep_or_unlink, text)


def _write_start(start: Path, folder: Path, choices: Choices, origin: str) -> None:
    """The files that a project begins with, over those of the template."""
    # a folder of the machine that wrote the project is no link for anybody else
    template = f"[Sixply]({origin})" if re.match(r"https?://", origin) else "Sixply"
    values = {"name": choices.name, "package": choices.package, "title": choices.title, "template": template}
    for path in filter(Path.is_file, start.rglob("*")):
        parts = path.relative_to(start).parts
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


def _without_lost_controls(text: str, folder: Path) -> str:
    """The risk register without the controls whose code or test is gone, and without the risks that none is left of."""
    pages = re.compile(r'^page = "(.*)"\n', re.MULTILINE)
    text = pages.sub(lambda page: page.group() if (folder / page[1]).exists() else "", text)
    text = re.sub(r'^command = "make bench-.*\n', "", text, flags=re.MULTILINE)
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
    """A page without what it says of the template alone, and of folders and files that are gone."""
    text = _SENT_TO_THE_LAB.sub("", OF_IT_ALONE.sub("", text))

    def is_gone(line: str) -> bool:
        of_row = line.rpartition(" | ")[2] if line.startswith("| ") else ""
        places = re.findall(r"^([a-z]+/) {2,}", line) or re.findall(r"`([\w.]+/[\w./]*)`", of_row)
        return bool(places) and not any((folder / place).exists() for place in places)

    kept = "".join(_without_lost_places(line, folder) for line in text.splitlines(keepends=True) if not is_gone(line))
    return re.sub(r", lab/(?:, examples/)?$", "", kept, flags=re.MULTILINE)


def _without_lost_places(line: str, folder: Path) -> str:
    """A row of a table whose last cell lists files, `a`, `b`; of something else, `c`: without those of extensions that are gone."""
    start, bar, cell = line.rstrip(" |\n").rpartition(" | ")
    if not line.startswith("| ") or "`extensions/" not in cell:
        return line

    def keep_or_drop(place: re.Match[str]) -> str:
        return place.group() if (folder / place[1]).exists() else ""

    def without_lost(part: str) -> str:
        return re.sub(r"(?:, )?`(extensions/[\w./]+)`", keep_or_drop, part)

    parts = [without_lost(part).removeprefix(", ") for part in cell.split("; ")]
    kept = [left for left, part in zip(parts, cell.split("; "), strict=True) if left == part or "`" in left]
    return f"{start}{bar}{'; '.join(kept)} |\n"


def _without_lost_pages(text: str, folder: Path) -> str:
    """A list of pages without the lines that lead to nothing but pages that are gone."""

    def leads_nowhere(line: str) -> bool:
        links = re.findall(r"\]\(([\w./-]+)\)", line) or re.findall(r"^ *- (?:.*: )?([\w./-]+\.md)\b", line)
        return bool(links) and not any((folder / link).exists() or (folder / "docs" / link).exists() for link in links)

    return "".join(line for line in text.splitlines(keepends=True) if not leads_nowhere(line))


def _name_own(text: str, choices: Choices, names: Sequence[str], folder: Path, lost_parts: AbstractSet[str]) -> str:
    """Its stack.toml with its extensions, tools, questions and name, and without parts of and comments on extensions that it has not."""
    text = re.sub(r"^extensions = \[.*\]$", f"extensions = {json.dumps([*names])}", text, flags=re.MULTILINE)
    if "planned_agent" not in names:  # which brings the agent that the template's own stack names
        text = re.sub(r"^without_tools = .*$", WITHOUT_TOOLS, text, flags=re.MULTILINE)
    text = text.replace(EXAMPLE.replace("/", "."), choices.package).replace(EXAMPLE, choices.package)
    brand = f'[serving.brand]\nname = "{choices.title}"\n\n'
    # the commented example would be a second section of one name for whoever uncomments it
    text = re.sub(r"^# \[serving\.brand\].*\n(?:#.*\n)*\n", brand, text, flags=re.MULTILINE)

    def keep_or_drop(block: re.Match[str]) -> str:
        if f"{block['section']}/{block['use']}" in lost_parts:
            return ""
        section = block["section"].partition(".")[0]
        return block.group() if section in names or (folder / section).is_dir() else ""

    block = r'^#? ?\[+(?P<section>[\w.]+)\].*\n(?:use = "(?P<use>[\w.:]+)".*\n)?(?:(?:#|\w).*\n)*\n?'
    return re.sub(block, keep_or_drop, text, flags=re.MULTILINE)


def _without_lost_extras(text: str, folder: Path) -> str:
    """The text with those of `WITH=postgres,redis` that the project's pyproject.toml still has."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project.get("optional-dependencies", {})
    left = re.sub(
        r"WITH=([a-z,]+)",
        lambda names: f"WITH={','.join(each for each in names[1].split(',') if each in extras)}",
        text,
    )
    return left.replace(" [WITH=]", "")


def _rename_project(text: str, choices: Choices, names: Sequence[str], commit: str, origin: str) -> str:
    """Its pyproject.toml: its name, its own folder, and no rule about what it has not."""
    for before, after in (
        ('name = "sixply"\n', f'name = "{choices.name}"\n'),
        ("[project.scripts]\n", f'[project.scripts]\n{choices.name} = "serving.cli.main:main"\n'),
        ('"examples*", "lab*"]', f'"{choices.package}*"]'),
        (', "examples", "lab"]\n', f', "{choices.package}"]\n'),
        (",extensions,examples,lab,tests}", ",extensions,tests}"),
    ):
        if before not in text:
            raise InvalidSetting(
                f"pyproject.toml has no {before.strip()!r}; the template changed, and {__file__} has to."
            )
        text = text.replace(before, after)
    about = f'description = "{choices.title}, an AI system in six layers."'
    text = re.sub(r"^description = .*$", about, text, count=1, flags=re.MULTILINE)
    text = text.replace(', "examples"]', "]")
    text = re.sub(
        r'^\[\[tool\.importlinter\.contracts\]\]\nname = "The lab can .*\n(?:\w.*\n)+\n', "", text, flags=re.MULTILINE
    )
    lost = rf'^ *"(?:examples[./*]|lab[./*]|extensions\.(?!(?:{"|".join(map(re.escape, names)) or "(?!)"})\b)\w).*\n'
    text = re.sub(lost, "", text, flags=re.MULTILINE)
    text = re.sub(r"^ignore_imports = \[\n\]\n", "", text, flags=re.MULTILINE)
    for name, rule in RULES_OF_EXTENSIONS.items():
        text = text if name in names else re.sub(rule, "", text, flags=re.MULTILINE)
    listed = ", ".join(f'"{name}"' for name in names)
    return f"""{text}
[tool.sixply] # what this project was made from; `make update` and `make add` read and renew it
origin = "{origin}"
base = "{commit}"
extensions = [{listed}]
"""


def main(arguments: Sequence[str]) -> None:
    tree, folder, commit, origin, name, *extensions = arguments
    choices = Choices(name=name, extensions=tuple(extensions))
    render(Path(tree), Path(folder), choices, commit=commit, origin=origin)


if __name__ == "__main__":
    main(sys.argv[1:])
