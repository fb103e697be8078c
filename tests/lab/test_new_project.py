"""A project made from this tree is whole: nothing in it is the template's, what is left works, and later commits can be taken in."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from extensions.development import update
from extensions.development.paid_calls import PROMISE
from extensions.development.update import git
from extensions.governance.risk_register import load_register
from foundation import extensions
from foundation.errors import Conflict, InvalidRequest, SixplyError
from lab.cli import app
from lab.project import first_hour, new, prove
from lab.project.choices import ALWAYS, Choices, read_extensions, with_required
from lab.project.git import commit_all
from lab.project.locks import keep_pins, packages_of, with_pins
from lab.project.new import check_extensions, check_name
from lab.project.prove import STARTS
from lab.project.render import OF_THE_TEMPLATE, find_tests_of, places_of, render, unlink_dead
from lab.project.update import read_project
from tests.forks import fork, preload
from tests.tree import copy_of_tree

preload(
    __name__, "serving.app", *(f"{layer}.build" for layer in ("models", "retrieval", "orchestration", "observability"))
)

ROOT = Path(__file__).resolve().parents[2]
CODE = ("foundation", "models", "retrieval", "orchestration", "serving", "observability", "extensions", "lab")
DECLARED = read_extensions(ROOT)
KEPT = "page"
"""An extension that requires another, and has packages of its own."""
FICTIONAL = re.compile(r"support.desk|quillmark|alder.clinics|\bQM-\d{5}\b", re.IGNORECASE)
"""What belongs to the example company."""


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as it stands here, in a repository of its own."""
    folder = tmp_path_factory.mktemp("template") / "template"
    copy_of_tree(folder)
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit_all(folder, "The template")
    return folder


@pytest.fixture(scope="module")
def core(upstream: Path) -> Path:
    """A project of the core alone."""
    return made_in(upstream, upstream.parent / "core")


@pytest.fixture(scope="module")
def whole(upstream: Path) -> Path:
    """A project with every extension."""
    return made_in(upstream, upstream.parent / "whole", "--with", ",".join(DECLARED))


def made_in(template: Path, folder: Path, *arguments: str) -> Path:
    run_in(template, "new", "--name", "acme-desk", "--dir", str(folder), "--check", "0", *arguments)
    return folder


def run_in(folder: Path, *arguments: str, fails: bool = False) -> str:
    """What a command of the tree in that folder says."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"}
    program = {"pytest": [], "new": ["lab.cli"]}.get(arguments[0], ["serving.cli"])
    done = subprocess.run([sys.executable, "-m", *program, *arguments],
                          cwd=folder, env=environment, capture_output=True, text=True, check=False)  # fmt: skip
    assert bool(done.returncode) == fails, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def test_it_has_its_name_its_files_and_the_commit_that_it_was_made_from(upstream: Path, core: Path) -> None:
    project = tomllib.loads((core / "pyproject.toml").read_text())
    assert project["project"]["name"] == "acme-desk"
    assert project["project"]["scripts"].keys() == {"acme-desk", "sixply"}
    made = project["tool"]["sixply"]
    assert (made["base"], made["extensions"]) == (git(upstream, "rev-parse", "HEAD"), [ALWAYS])
    assert (core / "README.md").read_text().startswith("# Acme Desk\n")
    assert {Path(name).parts[1] for name in git(core, "ls-files", "acme_desk").splitlines()} == {
        "__init__.py", "corpus", "golden.jsonl", "tools.py",
    }  # fmt: skip
    told = [file for file in git(core, "ls-files").splitlines() if str(upstream) in read(core / file)]
    assert told == ["pyproject.toml"], "make update looks there; nobody else can follow a path of this machine"
    assert git(core, "status", "--porcelain") == ""
    assert len(git(core, "log", "--format=%h").split()) == 1


def read(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")


def test_the_core_has_no_extension_but_one_no_lab_no_example_and_nothing_that_names_them(core: Path) -> None:
    gone = [*OF_THE_TEMPLATE, *places_of(DECLARED.keys() - {ALWAYS})]
    assert [place for place in gone if (core / place).exists() and place != ".github/workflows"] == []
    assert tomllib.loads((core / "stack.toml").read_text())["extensions"] == [ALWAYS]
    groups = tomllib.loads((core / "pyproject.toml").read_text())
    assert {one.extra for one in DECLARED.values() if one.extra}.isdisjoint(groups["project"]["optional-dependencies"])
    register = load_register(core / "risks.toml")
    places = [place for risk in register.risks for control in risk.controls for place in (control.test, control.code)]
    assert [place for place in places if not (core / place.partition(":")[0]).exists()] == []


def test_a_whole_project_keeps_every_risk_of_the_register(whole: Path) -> None:
    kept, ours = (load_register(folder / "risks.toml").risks for folder in (whole, ROOT))
    assert [risk.id for risk in kept] == [risk.id for risk in ours]


def test_what_is_read_first_names_no_command_that_the_core_has_not(core: Path) -> None:
    rules = set(re.findall(r"^([a-z-]+):", read(core / "Makefile"), re.MULTILINE))
    brought_by = {command.name: name for name in extensions.installed() for command in extensions.find(name).commands}
    first = [core / name for name in ("README.md", "AGENTS.md", "outcomes.toml", "stack.toml", "policy.toml")]
    told = {
        command
        for file in (*first, *(core / ".agents").rglob("*.md"))
        for line in read(file).splitlines()
        for command in re.findall(r"(?:^    +|`)make ([a-z-]+)", line)
        if f"extension `{brought_by.get(command)}`" not in line  # whoever wants it is told what to add
    }
    listed = set(re.findall(r"^[ │|]*([a-z-]+) ", run_in(core, "--help"), re.MULTILINE))
    assert told > {"setup", "ingest", "ask", "serve"}
    assert told - rules - listed == {"new"}, "which made it, in the template"


def test_what_it_is_read_by_names_no_file_and_no_command_that_is_not_there(core: Path) -> None:
    files = git(core, "ls-files").splitlines()
    there = {*files, *(str(folder) for file in files for folder in Path(file).parents)}
    roots = "|".join((*CODE, "examples", "lab", "tests", "docs"))
    named = re.compile(rf"(?<![\w./-])((?:{roots})/[\w./-]*\w)")
    read_first = [file for file in files if file.endswith((".md", ".toml", ".yml", ".yaml")) or file == "Makefile"]
    # an adapter that is to be written; what begins with <port>; what make docs and a person make
    kept = ("acme", "tests/contracts/test_", "docs/reference", "/sixply.key")
    lost = {
        f"{file}: {place}"
        for file in read_first
        for line in read(core / file).splitlines()
        for place in named.findall(line)
        if not any(word in place for word in kept)
        if file != "docs/project.md" or "extensions/page" not in place  # how one comes and goes
        if not {place, f"{place}.py", str(Path(file).parent / place), f"docs/{place}"} & there
    }
    assert lost == set()
    of_the_template = {command for program in ("lab", "examples") for command in commands_of(program)}
    told = {
        f"{file}: make {command}"
        for file in read_first
        for command in re.findall(r"(?:^    +|`)make ([a-z-]+)", read(core / file), re.MULTILINE)
        if command in of_the_template - {"new"}
    }
    assert told == set()
    pictures = {file for file in files if file.startswith("docs/pictures/")}
    pages = "".join(read(core / file) for file in files if file.endswith(".md"))
    assert [picture for picture in pictures if picture.removeprefix("docs/") not in pages] == []


def commands_of(program: str) -> set[str]:
    return {str(command.name or "") for command in import_module(f"{program}.cli").app.registered_commands} - {""}


def test_an_extension_is_brought_by_the_developers_packages_and_one_that_is_there_turned_on_without(core: Path) -> None:
    def installs(name: str) -> str:
        order = ["make", "--dry-run", "add", f"NAME={name}"]
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
        done = subprocess.run(order, cwd=core, env=environment, capture_output=True, text=True, check=False)
        return done.stdout

    assert "Installing requirements-dev.lock" in installs("audit"), "its checks are lint and types"
    assert "Installing requirements-dev.lock" not in installs("development")


@pytest.mark.parametrize("name", DECLARED)
def test_an_extension_alone_has_tests_that_need_no_other(name: str) -> None:
    there = with_required([name], DECLARED)
    lost = find_tests_of([*DECLARED.keys() - there], ROOT)
    tests = {file for each in there for file in (ROOT / "tests/extensions" / each).rglob("test_*.py")}
    assert tests.difference(lost), "all of them use other extensions"


def test_its_reference_pages_are_those_of_its_own_code(upstream: Path) -> None:
    project = made_in(upstream, upstream.parent / "listed", "--with", "jobs")
    subprocess.run(
        [sys.executable, "-m", "tests.docs.reference"],
        cwd=project, env={**os.environ, "PYTHONPATH": str(project)}, check=True,
    )  # fmt: skip
    assert git(project, "diff") == ""


def test_extensions_come_with_what_they_require_with_tests_page_and_packages(upstream: Path, tmp_path: Path) -> None:
    project = tmp_path / "acme"
    render(upstream, project, Choices(name="acme-desk", extensions=(KEPT,)), commit="0" * 40, origin="here")
    names = with_required([KEPT], DECLARED)
    assert len(names) > 1
    assert [place for place in places_of(names) if not (project / place).exists()] == []
    assert [place for place in places_of(DECLARED.keys() - names) if (project / place).exists()] == []
    assert tomllib.loads((project / "stack.toml").read_text())["extensions"] == names
    assert read_project(project).choices.extensions == tuple(names)
    for file in ("pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        assert re.search(r"^\W*(?:page = \[.*\")?nicegui[=>]", read(project / file), re.MULTILINE)


def test_the_locks_of_a_whole_project_are_those_of_the_template_but_for_the_labs_packages(
    upstream: Path, whole: Path
) -> None:
    def pins(folder: Path, file: str) -> set[str]:
        return set(re.findall(r"^[\w.-]+==\S+", read(folder / file), re.MULTILINE))

    assert pins(whole, "requirements.lock") >= pins(upstream, "requirements.lock")
    lost = pins(upstream, "requirements-dev.lock") - pins(whole, "requirements-dev.lock")
    assert {one.partition("==")[0] for one in lost} >= {"peft", "datasets"}
    wanted = packages_of(whole / "pyproject.toml")
    assert [
        name for name in sorted(wanted - {"torch"}) if f"\n{name}==" not in read(whole / "requirements-dev.lock")
    ] == []


def test_everything_that_a_project_imports_is_among_its_packages(core: Path) -> None:
    """What a framework imports at run time shows in its own environment alone: CHECK=own."""
    from importlib.metadata import packages_distributions

    imported = set()
    for file in (path for layer in CODE if (core / layer).exists() for path in (core / layer).rglob("*.py")):
        imported |= set(re.findall(r"^\s*(?:from|import) (\w+)", read(file), re.MULTILINE))
    owners = {
        module: {re.sub(r"[._]", "-", name).lower() for name in names}
        for module, names in packages_distributions().items()
    }
    pinned = set(re.findall(r"^([\w.-]+)==", read(core / "requirements-dev.lock"), re.MULTILINE)) | {"torch"}
    lost = {module for module in imported if owners.get(module) and not owners[module] & pinned and module not in CODE}
    assert lost - {"sixply"} == set()


@pytest.mark.parametrize("project", ["core", "whole"])
def test_no_name_of_the_example_company_and_no_path_of_this_machine_is_in_it(
    project: str, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(project)
    files = [
        file
        for file in git(folder, "ls-files").splitlines()
        if not file.startswith(("tests/", "docs/extensions/", "extensions/"))
    ]
    texts = {file: read(folder / file) for file in files if file != "pyproject.toml"}
    assert {file: found.group() for file, text in texts.items() if (found := FICTIONAL.search(text))} == {}
    assert [file for file, text in texts.items() if str(Path.home()) in text or str(ROOT) in text] == []


@pytest.mark.nightly
@pytest.mark.parametrize("project", ["core", "whole"])
def test_every_test_in_it_can_be_collected(project: str, request: pytest.FixtureRequest) -> None:
    run_in(request.getfixturevalue(project), "pytest", "--collect-only", "-qq", "-p", "no:cacheprovider")


@pytest.mark.real_model
def test_it_answers_from_its_first_document(core: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIXPLY__FOUNDATION__DATA_DIR", str(tmp_path))
    (core / "weights").symlink_to(ROOT / "weights")
    run_in(core, "ingest", "acme_desk/corpus")
    assert "8 people" in run_in(core, "ask", "How many people fit into room R-12?")
    (core / "weights").unlink()


@pytest.mark.parametrize("project", ["core", "whole"])
def test_the_api_of_a_project_starts(project: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(project)
    doubles = {"CHAT": "scripted", "EMBEDDER": "hashing"}  # weights are not in this copy
    environment = {**os.environ, "PYTHONPATH": str(folder), "SIXPLY__FOUNDATION__DATA_DIR": str(tmp_path / "var")}
    environment |= {f"SIXPLY__MODELS__{part}__USE": use for part, use in doubles.items()}
    if (folder / "extensions/notifier").exists():  # whom it tells only its owner can say
        environment |= {"SIXPLY__NOTIFIER__URL": "http://127.0.0.1:9/", "SIXPLY__NOTIFIER__SECRET": "s" * 32}
    said = tmp_path / "said"
    process = fork(start_api, folder, said, environment=environment)
    process.join()
    assert process.exitcode == 0, said.read_text()[-4000:]


def start_api(project: Path, said: Path) -> None:
    """In a process that has imported other people's packages, and now nothing of ours but what stands in the project."""
    with said.open("w") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    for name in [name for name in sys.modules if name.partition(".")[0] in CODE]:
        del sys.modules[name]
    # the installed tree must not stand in for what was left out
    sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")]
    sys.path[:] = [str(project), *(path for path in sys.path if path and Path(path).resolve() != ROOT)]
    os.chdir(project)
    exec(STARTS, {"__name__": "__main__"})
    assert {Path(sys.modules[name].__file__ or "").parents[1] for name in ("serving.app", "models.build")} == {project}


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("project", ["core", "whole"])
def test_the_guards_hold_in_it(project: str, request: pytest.FixtureRequest) -> None:
    """Types and the tests themselves take minutes: in the weekly build `make new CHECK=own` runs them."""
    folder = request.getfixturevalue(project)
    for command in (
        ["ruff", "check", "--no-cache", "-q", "."],
        ["ruff", "format", "--no-cache", "--check", "-q", "."],
        ["lint-imports", "--no-cache"],
    ):
        program = Path(sys.executable).with_name(command[0])
        done = subprocess.run([program, *command[1:]], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("json", "Python has a module of that name"),
        ("Acme Desk", "is no name of a project"),
        ("numpy", "Python has a module"),
        ("-a", "is no name"),
        ("class", "a word of Python"),
        ("sixply", "the name of the template"),
        ("var", "git ignores a folder of that name"),
    ],
)
def test_a_name_that_cannot_be_a_project_is_refused(name: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        check_name(name)


def test_an_extension_that_is_not_there_is_refused_and_what_one_requires_comes_along() -> None:
    with pytest.raises(InvalidRequest, match=r'no extension "pgae"\..* Did you mean "page"'):
        check_extensions(ROOT, ["pgae"])
    assert {*DECLARED[KEPT].requires, KEPT} <= {*check_extensions(ROOT, [KEPT])}


def test_a_folder_that_is_not_empty_and_one_inside_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for folder, words in ((tmp_path, "not empty"), (ROOT / "inside", "inside of this checkout")):
        done = CliRunner().invoke(app, ["new", "--name", "acme-desk", "--dir", str(folder)])
        assert isinstance(done.exception, SixplyError)
        assert words in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


FULL = "[Errno 28] No space left on device"


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), OSError("No space left on device"), shutil.Error([("a", "b", FULL)])],
)
def test_a_disk_that_is_full_leaves_nothing_behind(
    upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(new, "ROOT", upstream)
    monkeypatch.setattr(new, "render", full)
    with pytest.raises(SixplyError, match="No space left on device"):
        new.write(tmp_path / "acme", Choices(name="acme-desk"), "HEAD")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SixplyError, match="could not be written"):
        new.write(tmp_path / "file" / "acme", Choices(name="acme-desk"), "HEAD")


def test_a_tree_that_is_no_checkout_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new, "ROOT", tmp_path)
    done = CliRunner().invoke(app, ["new", "--name", "acme-desk", "--dir", str(tmp_path / "a")])
    assert "no checkout of git" in str(done.exception)


def test_a_lock_loses_what_only_the_dropped_package_needed() -> None:
    def pin(name: str, *needed_by: str) -> str:
        by = "".join(f"\n    #   {other}" for other in needed_by) if len(needed_by) > 1 else f" {needed_by[0]}"
        return f"{name}==1 \\\n    --hash=x\n    # via{by}\n"

    ours = "sixply (pyproject.toml)"
    lock = (
        pin("a", "b", "c")
        + pin("b", "-c requirements.lock", ours)
        + pin("c", ours)
        + pin("d", "b")
        + pin("e", "b", "d")
    )
    kept = keep_pins(lock, {"c"}, "sixply", "acme")
    assert kept == pin("a", "c") + pin("c", "acme (pyproject.toml)")
    both = pin("b", ours, "c")
    assert keep_pins(both, {"c"}, "sixply", "acme") == pin("b", "c"), "somebody else needs it"
    assert keep_pins(both, {"b"}, "sixply", "acme") == pin("b", "acme (pyproject.toml)")
    assert keep_pins(both, set(), "sixply", "acme") == "", "nobody is left who needs it"


def test_an_extension_that_is_off_in_the_template_has_its_packages_in_the_lock() -> None:
    def pin(name: str, *needed_by: str) -> str:
        by = "".join(f"\n    #   {other}" for other in needed_by) if len(needed_by) > 1 else f" {needed_by[0]}"
        return f"{name}==1 \\\n    --hash=x\n    # via{by}\n"

    ours = "sixply (pyproject.toml)"
    lock, every = (
        pin("a", "b") + pin("b", ours),
        pin("a", "b", "ray") + pin("b", "-c requirements.lock", ours) + pin("ray", ours),
    )
    assert with_pins(lock, every, {"b", "torch"}) == lock, "as the template has it, where nothing is missing"
    assert keep_pins(with_pins(lock, every, {"ray"}), {"ray"}, "sixply", "acme") == pin("a", "ray") + pin(
        "ray", "acme (pyproject.toml)"
    )


def test_its_guide_for_contributors_says_nothing_of_the_template_alone(upstream: Path, core: Path) -> None:
    here, guide = ((folder / "CONTRIBUTING.md").read_text() for folder in (upstream, core))
    assert re.findall(r"\blab\b|make (?:house|new|release-check)|<!--", here)
    assert re.findall(r"\blab\b|make (?:house|new|release-check)|<!--", guide) == []
    assert ("extensions/page/views/" in here, "| a view of the page |" in guide) == (True, False)
    assert "| a document format | `retrieval/parsers/`" in guide
    assert "\n\n\n" not in guide


def test_links_to_pages_that_are_gone_become_words(tmp_path: Path) -> None:
    (tmp_path / "there.md").touch()
    assert unlink_dead("[a](there.md#x) [b](gone.md) ![c](gone.png) [d](https://x.org) [e](#f)", tmp_path) == (
        "[a](there.md#x) b c [d](https://x.org) [e](#f)"
    )


@pytest.fixture(scope="module")
def light(upstream: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template without its tests and pages, so that less is copied."""
    template = clone_of(upstream, tmp_path_factory.mktemp("light"))
    git(template, "rm", "--quiet", "-r", "tests", "docs")
    commit_all(template, "Light")
    return template


@pytest.fixture(scope="module")
def made(light: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project made from an older commit of the template, changed as its owners do, while the template went on: `template` and `acme`."""
    folder = tmp_path_factory.mktemp("made")
    template, project = clone_of(light, folder), folder / "acme"
    made_in(template, project)
    (project / "acme_desk" / "corpus" / "own.md").write_text("# Ours\n")
    edit(project / "stack.toml", "port = 8600", "port = 8700")
    edit(project / "acme_desk" / "tools.py", '"R-12": 8', '"R-12": 9')
    commit_all(project, "Ours")
    edit(template / "lab/project/start/own/tools.py", '"R-12": 8', '"R-12": 10')
    (template / "lab/project/start/own/corpus/later.md").write_text("# Later\n")
    edit(template / "stack.toml", "threads = 2", "threads = 3")
    (template / f"extensions/{KEPT}/later.py").write_text('"""Later."""\n')
    (template / "serving" / "later.py").write_text('"""Later."""\n')
    commit_all(template, "Later")
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, whose template is the copy beside it."""
    for name in ("template", "acme"):
        shutil.copytree(made / name, tmp_path / name, symlinks=True)
    folder = tmp_path / "acme"
    edit(folder / "pyproject.toml", str(made / "template"), str(tmp_path / "template"))
    commit_all(folder, "Moved")
    monkeypatch.setattr(update, "ROOT", folder)
    return folder


def clone_of(upstream: Path, folder: Path) -> Path:
    """A template of a test's own, which came from nowhere else."""
    git(folder, "clone", "--quiet", str(upstream), "template")
    git(folder / "template", "remote", "remove", "origin")
    return folder / "template"


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def take(**values: object) -> int:
    """`make update` in the project; its exit code."""
    try:
        update.update(**{"source": None, "dry": False, "prefer": None, "check": "0", **values})  # type: ignore[arg-type]
    except typer.Exit as ended:
        return ended.exit_code
    return 0


@pytest.mark.nightly
def test_an_update_merges_what_both_changed_and_can_be_undone(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = git(project, "rev-parse", "HEAD")
    assert take(dry=True, source="../template") == 0, "a path is relative to the project"
    assert git(project, "rev-parse", "HEAD") == before
    said = capfd.readouterr().out
    assert "1 changed by both, and merged" in said
    assert "the same without DRY=1" in said, "with its FROM="
    assert take() == 0
    text = (project / "stack.toml").read_text()
    assert text.count("[serving.brand]") == 1, "an example of it in a comment would be a second one"
    stack = tomllib.loads(text)
    assert (stack["foundation"]["threads"], stack["serving"]["http"]["port"]) == (3, 8700)
    assert (project / "serving" / "later.py").exists()
    assert not (project / f"extensions/{KEPT}").exists(), "what was left out stays out"
    assert {path.name for path in (project / "acme_desk/corpus").iterdir()} == {"own.md", "rooms.md"}, "it is theirs"
    assert '"R-12": 9' in (project / "acme_desk/tools.py").read_text()
    assert read_project(project).base == git(project.parent / "template", "rev-parse", "HEAD")
    assert before[:12] in capfd.readouterr().out
    assert git(project, "status", "--porcelain") == ""
    assert take() == 0
    assert "Up to date" in capfd.readouterr().out
    git(project, "reset", "--quiet", "--hard", before)
    assert read_project(project).base != git(project.parent / "template", "rev-parse", "HEAD")


@pytest.mark.nightly
def test_a_file_that_its_owner_edited_moves_with_the_template(project: Path) -> None:
    template, file, moved = (
        project.parent / "template",
        Path("retrieval/search/fusion.py"),
        Path("retrieval/index/fusing.py"),
    )
    (project / file).write_text((project / file).read_text() + "# Ours\n")
    commit_all(project, "Ours")
    git(template, "mv", str(file), str(moved))
    commit_all(template, "Moved")
    assert take() == 0
    assert not (project / file).exists()
    assert (project / moved).read_text().endswith("# Ours\n")


@pytest.mark.nightly
def test_a_project_made_before_there_were_extensions_is_refused_before_anything_is_written(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    edit(
        project / "pyproject.toml",
        f'extensions = ["{ALWAYS}"]\n',
        'without = ["example", "lab", "page"]\nonly = "small"\nkeep = []\n',
    )
    before = commit_all(project, "As it was")
    assert take() == 2
    said = " ".join(capfd.readouterr().err.split())
    assert "before the template was taken apart" in said
    assert "make new WITH=" in said
    assert (git(project, "rev-parse", "HEAD"), git(project, "status", "--porcelain")) == (before, "")


@pytest.mark.nightly
def test_an_extension_is_brought_from_the_template_as_it_was_at_the_projects_base(project: Path) -> None:
    edit(project / "stack.toml", 'use = "llama_cpp"', 'use = "scripted"')  # weights are not in this copy
    edit(project / "stack.toml", 'use = "openvino"', 'use = "hashing"')
    commit_all(project, "Doubles")
    base = read_project(project).base
    said = run_in(project, "add", KEPT)
    names = with_required([KEPT], DECLARED)
    assert [name for name in names if not (project / "extensions" / name / "__init__.py").exists()] == []
    assert not (project / f"extensions/{KEPT}/later.py").exists(), "that is newer"
    assert tomllib.loads((project / "stack.toml").read_text())["extensions"] == names
    assert (read_project(project).choices.extensions, read_project(project).base) == (tuple(names), base)
    assert "\nnicegui==" in (project / "requirements.lock").read_text()
    assert tomllib.loads((project / "stack.toml").read_text())["serving"]["http"]["port"] == 8700, "theirs stays"
    assert git(project, "status", "--porcelain") == ""
    assert f"{KEPT} is here and on" in said
    assert 'has no extension "pgae"' in run_in(project, "add", "pgae", fails=True)
    assert take() == 0
    assert (project / f"extensions/{KEPT}/later.py").exists(), "an update brings what is newer"


@pytest.mark.nightly
def test_an_update_in_conflict_changes_nothing_until_it_is_told_whose_lines_to_take(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    template = project.parent / "template"
    edit(template / "stack.toml", "port = 8600", "port = 8601")
    commit_all(template, "Another port")
    before = git(project, "rev-parse", "HEAD")
    assert take() == 2
    assert "the same lines of stack.toml" in capfd.readouterr().err
    assert git(project, "rev-parse", "HEAD") == before
    assert git(project, "status", "--porcelain") == ""
    assert take(prefer="template") == 0
    assert "port = 8601" in (project / "stack.toml").read_text()


@pytest.mark.nightly
def test_an_extension_that_its_owner_deleted_stays_deleted_with_what_the_template_adds_to_it(
    light: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    template, folder = clone_of(light, tmp_path), tmp_path / "acme"
    made_in(template, folder, "--with", KEPT)
    shutil.rmtree(folder / "extensions" / KEPT)
    commit_all(folder, "Without it")
    plug = template / "extensions" / KEPT / "plug.py"
    plug.write_text(plug.read_text() + "# Changed\n")
    (template / "extensions" / KEPT / "later.py").write_text('"""Later."""\n')
    (template / "serving" / "later.py").write_text('"""Later."""\n')
    commit_all(template, "It goes on")
    monkeypatch.setattr(update, "ROOT", folder)
    assert take() == 0
    assert not (folder / "extensions" / KEPT).exists()
    said = capfd.readouterr().out
    assert "2 deleted by you, and not brought back" in said
    assert "0 changed by both in the same lines" in said
    assert (folder / "serving" / "later.py").exists()


@pytest.mark.nightly
@pytest.mark.parametrize(("prefer", "stays"), [("yours", True), ("template", False)])
def test_a_file_that_its_owner_changed_and_the_template_deleted_is_a_conflict_that_can_be_decided(
    project: Path, capfd: pytest.CaptureFixture[str], prefer: str, stays: bool
) -> None:
    template, file = project.parent / "template", Path("retrieval/search/fusion.py")
    (project / file).write_text((project / file).read_text() + "# Ours\n")
    commit_all(project, "Ours")
    (template / file).unlink()
    commit_all(template, "Gone")
    assert take() == 2
    assert f"{file}, or it deleted what you changed" in capfd.readouterr().err
    assert take(prefer=prefer) == 0
    assert (project / file).exists() is stays


BLOCKS = """
import os, signal
from pathlib import Path

if Path.cwd().name == "merged":  # a check of the update
    Path(os.environ["BEGUN"]).touch()
    signal.pause()
"""


@pytest.mark.nightly
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_update_that_is_stopped_leaves_nothing_behind(project: Path, tmp_path: Path, number: signal.Signals) -> None:
    (project / "sitecustomize.py").write_text(BLOCKS)
    before, begun, temporary = (
        commit_all(project, "A check that never ends"),
        tmp_path / "begun",
        tmp_path / "temporary",
    )
    temporary.mkdir()
    environment = os.environ | {"PYTHONPATH": str(project), "TMPDIR": str(temporary), "BEGUN": str(begun)}
    with subprocess.Popen([sys.executable, "-m", "serving.cli", "update"], cwd=project, env=environment) as process:
        while not begun.exists() and process.poll() is None:
            time.sleep(0.05)
        assert len(git(project, "worktree", "list").splitlines()) == 2
        process.send_signal(number)
    assert process.returncode not in (0, -signal.SIGKILL)
    assert list(temporary.iterdir()) == []
    assert len(git(project, "worktree", "list").splitlines()) == 1
    assert (git(project, "rev-parse", "HEAD"), git(project, "status", "--porcelain")) == (before, "")


def test_an_update_that_is_killed_while_it_is_taken_says_how_to_end_it_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # git asks this hook when the files are written and the branch has not moved yet
    root, hook = tmp_path, tmp_path / ".git" / "hooks" / "reference-transaction"
    git(root, "init", "--quiet")
    (root / "pyproject.toml").write_text('[tool.sixply]\nbase = "0"\norigin = "nowhere"\n')
    before = commit_all(root, "Ours")
    (root / "stack.toml").write_text("# new\n")
    after = commit_all(root, "The update")
    git(root, "reset", "--quiet", "--hard", before)
    kill = 'case "$(cat)" in *" HEAD"*) [ "$1" = prepared ] && kill -9 0;; esac; exit 0'
    hook.write_text(f"#!/bin/sh\n{kill}\n")
    hook.chmod(0o755)
    script = "import sys; from pathlib import Path; from lab.project.update import take; take(Path(sys.argv[1]), sys.argv[2])"
    taking = subprocess.Popen([sys.executable, "-c", script, str(root), after], cwd=ROOT, start_new_session=True)
    assert taking.wait() == -signal.SIGKILL
    assert git(root, "log", "--format=%H").splitlines() == [before]
    hook.unlink()
    monkeypatch.setattr(update, "ROOT", root)
    with pytest.raises(Conflict, match="was killed while it was taken") as refused:
        update.update()
    for name in (root / ".git").glob("**/*.lock"):
        name.unlink()
    ends = re.findall(r"git (reset --hard \w+|update-ref -d \S+(?=\.))", str(refused.value))
    git(root, *ends[0].split())
    git(root, *ends[-1].split())
    assert (git(root, "rev-parse", "HEAD"), git(root, "status", "--porcelain")) == (after, "")
    assert (root / "stack.toml").read_text() == "# new\n"
    with pytest.raises(InvalidRequest):  # of the template that is nowhere, and no more of the one before
        update.update()


def half_taken(root: Path) -> tuple[str, str]:
    git(root, "init", "--quiet")
    (root / "pyproject.toml").write_text('[tool.sixply]\nbase = "0"\norigin = "nowhere"\n')
    before = commit_all(root, "Ours")
    (root / "new.toml").write_text("# new\n")
    return before, commit_all(root, "The update")


def test_an_update_that_was_killed_once_it_was_taken_asks_for_nothing_that_would_lose_later_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, after = half_taken(tmp_path)
    git(tmp_path, "update-ref", update.TAKING, after)
    (tmp_path / "own.toml").write_text("# own\n")
    commit_all(tmp_path, "Our own work since")
    monkeypatch.setattr(update, "ROOT", tmp_path)
    with pytest.raises(InvalidRequest, match="nowhere"):  # it goes on to the template, which is nowhere
        update.update()
    assert git(tmp_path, "for-each-ref", update.TAKING) == ""


def test_going_back_from_an_update_that_was_killed_takes_its_new_files_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = half_taken(tmp_path)
    git(tmp_path, "reset", "--quiet", "--hard", before)
    git(tmp_path, "update-ref", update.TAKING, after)
    (tmp_path / "new.toml").write_text("# new\n")  # written, while the index did not know it yet
    monkeypatch.setattr(update, "ROOT", tmp_path)
    with pytest.raises(Conflict, match="was killed while it was taken") as refused:
        update.update()
    for way in re.findall(r"git (reset --hard \w+|update-ref -d \S+)", str(refused.value).replace(". ", " . ")):
        git(tmp_path, *way.split())
    assert (git(tmp_path, "rev-parse", "HEAD"), git(tmp_path, "status", "--porcelain")) == (before, "")


@pytest.mark.nightly
def test_an_update_that_breaks_the_project_is_not_taken(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (project.parent / "template" / "serving" / "later.py").write_text("import os\n")
    commit_all(project.parent / "template", "Never linted")
    before = git(project, "rev-parse", "HEAD")
    assert take(check="1") == 1
    said = capfd.readouterr().out
    assert "✗ lint" in said
    assert "this project is as it was" in said
    assert git(project, "rev-parse", "HEAD") == before
    assert len(git(project, "worktree", "list").splitlines()) == 1


@pytest.mark.nightly
def test_an_update_refuses_a_dirty_tree_a_rewritten_template_and_the_template_itself(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "own.txt").touch()
    with pytest.raises(Conflict, match=r"not committed[\s\S]*own\.txt"):
        take()
    (project / "own.txt").unlink()
    template = project.parent / "template"
    git(template, "checkout", "--quiet", "--orphan", "other")
    commit_all(template, "Another history")
    with pytest.raises(InvalidRequest, match="rewritten, or it is another repository"):
        take()
    with pytest.raises(InvalidRequest, match="git clone"):
        take(source=str(project.parent / "nowhere"))
    monkeypatch.setattr(update, "ROOT", ROOT)
    with pytest.raises(InvalidRequest, match="this is the template itself"):
        take()


@pytest.mark.parametrize(
    ("said", "holds"),
    [
        ({"passed": False, "blocked_by": [], "broken_floors": ["refused"]}, True),
        ({"passed": False, "blocked_by": ["answer_contained"], "broken_floors": ["refused"]}, False),
        ("No configuration", False),
    ],
)
def test_floors_that_are_not_met_block_no_update_where_no_score_fell(
    said: object, holds: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = [sys.executable, "-c", f"print({json.dumps(json.dumps(said))}); raise SystemExit(1)"]
    monkeypatch.setattr(prove, "_commands", lambda *_: [(prove.NO_SCORE_FELL, gate)])
    assert prove.prove(tmp_path, "desk", "1", tmp_path / "no-weights") is holds
    assert ("floor of outcomes.toml is not met" in capsys.readouterr().out) is holds


@pytest.mark.parametrize("agreed", [True, False])
def test_contracts_that_make_paid_calls_are_asked_about_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, agreed: bool
) -> None:
    left_out = {
        "port": "models.chat",
        "adapter": "x",
        "promise": PROMISE,
        "outcome": "not tested",
        "reason": "80 calls, $1",
    }
    commands: list[list[str]] = []

    def run(_: Path, command: list[str], __: str) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        said = {"promises": [] if "--paid" in command else [left_out]}
        return subprocess.CompletedProcess([], 0, json.dumps(said), "")

    monkeypatch.setattr(prove, "_commands", lambda *_: [(prove.CONTRACTS_ARE_KEPT, ["contracts"])])
    monkeypatch.setattr(prove, "_run", run)
    monkeypatch.setattr("serving.cli.terminal.is_asked", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: agreed)
    assert prove.prove(tmp_path, "desk", "1", tmp_path / "no-weights")
    assert commands == ([["contracts"], ["contracts", "--paid"]] if agreed else [["contracts"]])
    assert ("not tested: [models.chat] x: 80 calls, $1" in capsys.readouterr().out) is not agreed


@pytest.mark.parametrize(("was_broken", "holds"), [(("a",), False), (("a", "b"), True), (None, False)])
def test_what_was_broken_before_an_update_blocks_it_not_and_what_breaks_is_said(
    was_broken: tuple[str, ...] | None,
    holds: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def contracts(*broken: str) -> str:
        promises = [{"port": "p", "adapter": "x", "promise": it, "outcome": "broken", "reason": "why"} for it in broken]
        return json.dumps({"promises": [*promises, {"port": "p", "adapter": "x", "promise": "c", "outcome": "kept"}]})

    def run(project: Path, *_: object) -> subprocess.CompletedProcess[str]:
        said = contracts("a", "b") if project == tmp_path else contracts(*(was_broken or ()))
        return subprocess.CompletedProcess([], 1, said, "")

    monkeypatch.setattr(prove, "_commands", lambda *_: [(prove.CONTRACTS_ARE_KEPT, [])])
    monkeypatch.setattr(prove, "_run", run)
    was = None if was_broken is None else tmp_path / "was"
    assert prove.prove(tmp_path, "desk", "1", tmp_path / "no-weights", was=was) is holds
    said = capsys.readouterr().out
    assert ("broken before the update" in said) is holds
    assert ("p: x: b: why" in said) is not holds


@pytest.mark.parametrize(("fell_before", "holds"), [(["recall"], True), (["other"], False)])
def test_a_score_that_had_fallen_before_an_update_blocks_it_not(
    fell_before: list[str],
    holds: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(project: Path, *_: object) -> subprocess.CompletedProcess[str]:
        fell = ["recall"] if project == tmp_path else fell_before
        return subprocess.CompletedProcess([], 1, json.dumps({"blocked_by": fell}), "")

    monkeypatch.setattr(prove, "_commands", lambda *_: [(prove.NO_SCORE_FELL, ["gate"])])
    monkeypatch.setattr(prove, "_run", run)
    assert prove.prove(tmp_path, "desk", "1", tmp_path / "no-weights", was=tmp_path / "was") is holds
    said = capsys.readouterr().out
    assert ("had fallen before the update: recall" in said) is holds
    assert ("fell further than is allowed: recall" in said) is not holds
    assert "blocked_by" not in said, "people read sentences"


@pytest.mark.parametrize("was_broken", [True, False])
def test_a_check_that_failed_before_an_update_is_not_said_to_be_its_fault(
    was_broken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(project: Path, *_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], int(project == tmp_path or was_broken), "unknown option", "")

    monkeypatch.setattr(prove, "_commands", lambda *_: [("the API starts", ["start"])])
    monkeypatch.setattr(prove, "_run", run)
    assert not prove.prove(tmp_path, "desk", "1", tmp_path / "no-weights", was=tmp_path / "was")
    assert ("failed before the update, too" in capsys.readouterr().out) is was_broken


def test_the_lines_of_a_readme_are_read_as_a_shell_reads_them(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(
        '# Acme\n\n    make setup   # packages\n    make ask Q="Who is it?"\n\nAnd `make update`.\n\n    make later\n'
    )
    assert list(first_hour._lines_of(readme)) == [["make", "setup"], ["make", "ask", "Q=Who is it?"]]


def test_a_project_that_is_tried_alone_sees_nothing_of_the_environment_that_tries_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = str(Path(sys.executable).parent)
    monkeypatch.setenv("PYTHONPATH", "/ours")
    monkeypatch.setenv("SIXPLY_STACK", "ours.toml")
    monkeypatch.setenv("PATH", os.pathsep.join([ours, "/usr/bin"]))
    seen = first_hour._environment_of(tmp_path)
    assert seen.keys().isdisjoint({"PYTHONPATH", "SIXPLY_STACK", "VIRTUAL_ENV"})
    assert seen["PATH"] == "/usr/bin"


def gates_of(project: Path, level: str, data: Path, was: Path | None = None) -> list[list[str]]:
    return [command[2:] for _, command in prove._commands(project, "desk", level, data, was) if "gate" in command]


def test_where_all_is_checked_the_gate_holds_the_first_answers_against_themselves(tmp_path: Path) -> None:
    first = tmp_path / "baseline.json"
    (tmp_path / prove.GATE).parent.mkdir(parents=True)
    (tmp_path / prove.GATE).touch()
    renew = ["serving.cli", "gate", "--renew", "--baseline", str(first)]
    assert gates_of(tmp_path, "all", tmp_path) == [renew], "without answers there is nothing to hold"
    steps = prove._commands(tmp_path, "desk", "all", tmp_path)
    first.write_text("".join("{}" for _, command in steps if command[2:] == renew))
    assert gates_of(tmp_path, "all", tmp_path) == [["serving.cli", "gate", "--json", "-", "--baseline", str(first)]]
    first.unlink()
    assert gates_of(tmp_path, "1", tmp_path) == []


def test_an_update_is_held_against_the_projects_contracts_and_its_answers_before_it(tmp_path: Path) -> None:
    was, project, data = (tmp_path / name for name in ("was", "project", "data"))
    for tree in (was, project):
        (tree / prove.GATE).parent.mkdir(parents=True)
        (tree / prove.GATE).touch()
        (tree / "stack.toml").write_text('extensions = ["datasets", "plots", "swap_report"]')
    data.mkdir()
    steps = {}
    for about, command in prove._commands(project, "desk", "1", data, was):
        steps[about] = command[2:]
        if about == prove.ANSWERS_ARE_COMPARED:
            Path(command[-1]).write_text(json.dumps({"runs": {"a": {"rows": ["before"]}, "b": {}}}))
    assert next(iter(steps.items())) == ("stack.toml is understood", ["serving.cli", "keys"])
    assert steps[prove.CONTRACTS_ARE_KEPT] == ["serving.cli", "contracts", "--json", "-"]
    both = ["stack.toml", "--a", str(was / "stack.toml"), "--checkout", str(was)]
    assert steps[prove.ANSWERS_ARE_COMPARED][2:7] == both
    assert json.loads(Path(steps[prove.NO_SCORE_FELL][-1]).read_text()) == {"rows": ["before"]}
    (project / "desk").mkdir()
    (project / "desk" / "baseline.json").touch()
    assert gates_of(project, "1", data, was) == [["serving.cli", "gate", "--json", "-"]], "the project's own counts"
    (was / "stack.toml").write_text("extensions = []")
    assert prove.ANSWERS_ARE_COMPARED not in dict(prove._commands(project, "desk", "1", data, was)), "it cannot"


def test_a_comparison_is_shown_and_blocks_no_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = [sys.executable, "-c", "print('worse: by a tenth'); raise SystemExit(1)"]
    monkeypatch.setattr(prove, "_commands", lambda *_: [(prove.ANSWERS_ARE_COMPARED, said)])
    assert prove.prove(tmp_path, "desk", "1", tmp_path / "no-weights", was=tmp_path)
    shown = capsys.readouterr().out
    assert "worse: by a tenth" in shown
    assert f"✓ {prove.ANSWERS_ARE_COMPARED}" in shown


def test_a_comparison_that_came_to_no_verdict_says_so_and_blocks_no_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = [sys.executable, "-c", "import sys; print('start'); print('it is broken', file=sys.stderr); sys.exit(3)"]
    monkeypatch.setattr(prove, "_commands", lambda *_: [(prove.ANSWERS_ARE_COMPARED, said)])
    assert prove.prove(tmp_path, "desk", "1", tmp_path / "no-weights", was=tmp_path)
    shown = " ".join(capsys.readouterr().out.split())
    assert "it is broken" in shown
    assert f"✗ {prove.ANSWERS_ARE_COMPARED}" in shown
    assert "is not known" in shown
