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
from importlib.metadata import packages_distributions
from itertools import permutations, product
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from foundation.errors import Conflict, InvalidRequest, SixplyError
from lab.cli import app
from lab.project import first_hour, new, prove, prune
from lab.project.choices import ALWAYS_OUT, Choices, read_optional, read_presets
from lab.project.git import author_for, commit_all, succeeds
from lab.project.new import check_name, check_parts
from lab.project.pairs import cover_pairs, leave_out, read_needs
from lab.project.prove import STARTS
from lab.project.prune import CODE, imports_of, left_out_of, modules_of, modules_without, parts_of
from lab.project.render import _without_offers, prune_lock, render, unlink_dead
from lab.project.update import read_project
from observability.governance.risk_register import load_register
from serving.cli.project import update
from serving.cli.project.update import git
from serving.parts.paid_calls import PROMISE
from serving.settings import Settings
from tests.forks import fork, preload
from tests.tree import copy_of_tree

preload(
    __name__, "serving.app", *(f"{layer}.build" for layer in ("models", "retrieval", "orchestration", "observability"))
)

ROOT = Path(__file__).resolve().parents[2]
OPTIONAL = read_optional(ROOT)
PARTS = parts_of(ROOT)
CHOOSABLE = sorted(OPTIONAL.keys() - set(ALWAYS_OUT))


NEEDS = read_needs(ROOT)
ROWS = cover_pairs(NEEDS)
"""What is left out: first nothing and everything, then so that once a week CI sees every pair."""
LEFT_OUT = "extensions/mcp_server"


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as it stands here, in a repository of its own."""
    folder = tmp_path_factory.mktemp("template") / "template"
    copy_of_tree(folder)
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit_all(folder, "The template")
    return folder


@pytest.fixture(scope="module")
def smallest(upstream: Path) -> Path:
    """A project of the smallest preset."""
    folder = upstream.parent / "acme"
    run_in(upstream, "new", "--name", "acme-desk", "--dir", str(folder), "--only", "small", "--check", "0")
    return folder


def run_in(folder: Path, *arguments: str) -> str:
    """What a command of the tree in that folder says."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"}
    program = {"pytest": [], "new": ["lab.cli"]}.get(arguments[0], ["serving.cli"])
    done = subprocess.run([sys.executable, "-m", *program, *arguments],
                          cwd=folder, env=environment, capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_it_has_its_name_its_files_and_the_commit_that_it_was_made_from(upstream: Path, smallest: Path) -> None:
    project = tomllib.loads((smallest / "pyproject.toml").read_text())
    assert project["project"]["name"] == "acme-desk"
    assert project["project"]["scripts"].keys() == {"acme-desk", "sixply"}
    made = project["tool"]["sixply"]
    assert made["base"] == git(upstream, "rev-parse", "HEAD")
    assert made["without"] == sorted(ALWAYS_OUT)
    assert (made["only"], made["keep"]) == ("small", [])
    assert '"demo"' not in (smallest / "serving/cli/main.py").read_text()
    assert (smallest / "README.md").read_text().startswith("# Acme Desk\n")
    assert {path.name for path in (smallest / "acme_desk").iterdir()} == {
        "__init__.py", "corpus", "golden.jsonl", "tools.py",
    }  # fmt: skip
    told = [file for file in git(smallest, "ls-files").splitlines() if str(upstream) in (smallest / file).read_text()]
    assert told == ["pyproject.toml"], "make update looks there; nobody else can follow a path of this machine"
    assert git(smallest, "status", "--porcelain") == ""
    assert len(git(smallest, "log", "--format=%h").split()) == 1


def test_what_was_left_out_is_gone_with_its_tests_and_packages(smallest: Path) -> None:
    paths = {path for part in OPTIONAL.values() for path in [*part["paths"], *part["tests"]]}
    assert [path for path in paths if (smallest / path).exists()] == []
    kept = read_presets(ROOT)["small"]["keep"]
    files = {name: next(iter(modules)).replace(".", "/") for name, modules in parts_of(ROOT).items() if "/" in name}
    assert {name for name, file in files.items() if (smallest / f"{file}.py").exists()} == {n for n in kept if "/" in n}
    assert not (smallest / "observability" / "value").exists()
    assert read_optional(smallest) == {}
    packages = [name for part in OPTIONAL.values() for name in part.get("dependencies", [])]
    assert packages
    for file in ("pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        assert [
            name
            for name in packages
            if f"\n{name}==" in (smallest / file).read_text() or f'"{name}>' in (smallest / file).read_text()
        ] == []
    assert "support_desk" not in (smallest / "stack.toml").read_text()
    assert "WITH=" not in (smallest / "Makefile").read_text(), "there are no extras"
    image = (smallest / "Dockerfile").read_text()
    assert "\nARG WITH=\n" in image
    # kept extras are installed without install.py, too
    assert '-e ".[${WITH}]"; fi' in image
    register = load_register(smallest / "risks.toml")
    assert [
        place
        for risk in register.risks
        for control in risk.controls
        for place in (control.test, control.code)
        if not (smallest / place.partition(":")[0]).exists()
    ] == []
    assert "injection" in [risk.id for risk in register.risks], "an approval is a control without provenance, too"


def test_it_refuses_each_setting_that_only_a_part_which_it_lacks_would_read(smallest: Path) -> None:
    assert Settings.read_by.keys() <= modules_of(ROOT, CODE).keys()
    places = [
        place
        for module, named in Settings.read_by.items()
        if not (smallest / f"{module.replace('.', '/')}.py").exists()
        for place in named.split()
    ]
    program = """if True:
        import sys
        from foundation.errors import MissingDependency, UnknownSetting
        from serving.settings import Settings, load
        default = Settings().model_dump()
        for place in sys.argv[1:]:
            value = default
            for key in place.split("."):
                value = value.get(key, {})
            for key in reversed(place.split(".")):
                value = {key: value}
            try:
                load(overrides=value)
            except (MissingDependency, UnknownSetting) as error:
                assert place in str(error), error
                print(place)
    """
    environment = {**os.environ, "PYTHONPATH": str(smallest)}
    said = subprocess.run(
        [sys.executable, "-c", program, *places],
        cwd=smallest,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.split() == places
    assert {"retrieval.fetching", "orchestration.planner"} <= {*places}


def test_no_package_is_gone_that_something_imports_and_none_stays_for_what_is_gone(
    upstream: Path, smallest: Path
) -> None:
    """A parser that is gone read PDF; the tests which made some are gone too, though they name it only. A sample of Word is made
    in a function of a test, which asks for one where Word is read.
    """
    gone = declared(upstream) - declared(smallest)
    assert {"pypdf", "python-docx", "xllamacpp", "lxml-html-clean"} <= gone
    assert "python-multipart" in declared(smallest), "no module of it imports that, but FastAPI does"
    groups = tomllib.loads((smallest / "pyproject.toml").read_text())["dependency-groups"]
    develop = {wanted.partition(">")[0] for wanted in groups["dev"]}
    assert {"ruff", "mypy", "pytest", "hypothesis"} <= develop
    assert not develop & {"playwright", "schemathesis", "kubernetes-validate"}, (
        "the page, what tries the API, Kubernetes"
    )
    modules = {
        name
        for file in smallest.rglob("*.py")
        for name in imports_of(file, inner=file.relative_to(smallest).parts[0] != "tests")
    }
    imported = [names for module, names in packages_distributions().items() if module in modules]
    assert gone & {names[0].lower() for names in imported if len(set(names)) == 1} == set()


def test_no_double_stays_that_no_test_uses(smallest: Path) -> None:
    files = list((smallest / "tests").rglob("*.py"))
    text = "".join(path.read_text() for path in files)
    assert [
        path.stem
        for path in files
        if path.parent.name == "doubles" and not re.search(rf"doubles(?:\.| import .*\b){path.stem}\b", text)
    ] == []


def declared(folder: Path) -> set[str]:
    """The packages that a project asks for."""
    wanted = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["dependencies"]
    return {re.split(r"[\[<>=~!]", each)[0] for each in wanted}


def test_every_test_that_is_left_can_be_collected(smallest: Path) -> None:
    run_in(smallest, "pytest", "--collect-only", "-qq", "-p", "no:cacheprovider")


@pytest.mark.real_model
def test_it_answers_from_its_first_document_without_a_key_and_says_that_a_double_did(
    smallest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIXPLY__FOUNDATION__DATA_DIR", str(tmp_path))
    run_in(smallest, "ingest", "acme_desk/corpus")
    answer = run_in(smallest, "ask", "How many people fit into room R-12?")
    assert "8 people" in answer
    assert "test double" in answer


def test_what_a_part_starts_as_a_process_comes_along_with_it() -> None:
    assert "retrieval.ingest.sandbox" in imports_of(ROOT / "retrieval/ingest/sandbox.py")


def named_and_gone(*words: str) -> set[str]:
    """Modules that belong to no part that is left out, go all the same, and are named by code that stays."""
    left_out = left_out_of(ROOT, Choices.of("acme-desk", [*words, *ALWAYS_OUT]))
    modules, parts, gone = modules_of(ROOT, CODE), parts_of(ROOT), modules_without(ROOT, left_out)
    kept = "".join(path.read_text("utf-8") for name, path in modules.items() if name not in gone)
    return {name for name in gone - {module for part in left_out for module in parts[part]} if f'"{name}"' in kept}


def test_in_a_full_project_nothing_is_gone_that_is_loaded_by_name() -> None:
    assert named_and_gone() == set()


INSIDE = {name: section for section in CHOOSABLE for name, own in PARTS.items()
          if name not in OPTIONAL and own and own <= PARTS[section]}  # fmt: skip


def test_what_stands_in_a_section_is_kept_with_the_whole_of_it() -> None:
    assert {
        "model-frontier": "cheaper",
        "notifiers/webhook": "notifier",
        "api/objects": "objects",
    }.items() <= INSIDE.items()
    for name, section in INSIDE.items():
        left_out = left_out_of(ROOT, Choices.of("acme-desk", ["=small", f"+{name}", *ALWAYS_OUT]))
        assert left_out.isdisjoint({name, section})


SMALL = read_presets(ROOT)["small"]["keep"]
LOADS_BY_NAME = ["agents/graph", "model-frontier"]
ALONE = sorted(PARTS.keys() - {*ALWAYS_OUT, *SMALL}) if "EVERY_PART" in os.environ else LOADS_BY_NAME
"""What KEEP= takes, each alone: once a week in CI every name."""
COMBINED = ("page", "idempotency,jobs", "jobs,compat,mcp_server", "cheaper", "answer_cache", "scores", "team")


@pytest.mark.parametrize("keep", [*COMBINED, *LOADS_BY_NAME])
def test_what_is_kept_beside_the_smallest_comes_with_what_it_loads_by_name(keep: str) -> None:
    words = ["=small", *(f"+{part}" for part in keep.split(","))]
    check_parts(ROOT, Choices.of("acme-desk", words))
    gone = modules_without(ROOT, left_out_of(ROOT, Choices.of("acme-desk", [*words, *ALWAYS_OUT])))
    for loaded, by in {
        "serving.caches.memory": ["serving.http.quotas", "serving.http.answer_cache"],
        "orchestration.memory.conversations": ["orchestration.flow.cascade"],
        "orchestration.agents.auto": ["orchestration.flow.cascade"],
        "models.entailment.signs": ["retrieval.grounding.evidence"],
        "orchestration.planners.classifier": ["orchestration.flow.planned_agent"],
    }.items():
        assert loaded not in gone or gone.issuperset(by)


@pytest.mark.parametrize(
    "keep", [None, COMBINED[0], *(pytest.param(keep, marks=pytest.mark.slow) for keep in (*COMBINED[1:], *ALONE))]
)
def test_the_api_of_a_project_starts(light: Path, tmp_path: Path, keep: str | None) -> None:
    project, small = tmp_path / "acme", ["=small", *(f"+{part}" for part in keep.split(","))] if keep else []
    render(light, project, Choices.of("acme-desk", [*small, *ALWAYS_OUT]), commit="0" * 40, origin="here")
    doubles = {"CHAT": "scripted", "EMBEDDER": "hashing"}  # weights are not in this copy
    environment = {**os.environ, "PYTHONPATH": str(project), "SIXPLY__FOUNDATION__DATA_DIR": str(tmp_path / "var")}
    environment |= {f"SIXPLY__MODELS__{part}__USE": use for part, use in doubles.items()}
    if keep == "agents/graph":
        environment["SIXPLY__ORCHESTRATION__AGENT__USE"] = "graph"
    said = tmp_path / "said"
    process = fork(start_api, project, said, environment=environment)
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


def test_rows_cover_each_pair_in_all_four_ways_and_each_is_a_project_that_can_be_made() -> None:
    assert sorted(NEEDS) == CHOOSABLE
    for one, other in permutations(CHOOSABLE, 2):
        ways = {*product((True, False), repeat=2)}
        if other in leave_out([one], NEEDS):
            ways.remove((True, False))
        if one in leave_out([other], NEEDS):
            ways.remove((False, True))
        assert {(one in row, other in row) for row in ROWS} == ways
    for row in ROWS:
        check_parts(ROOT, Choices.of("acme-desk", sorted(row)))


def test_the_contract_of_a_port_stays_whatever_adapters_and_formats_are_left_out() -> None:
    left_out = left_out_of(ROOT, Choices.of("acme-desk", sorted(ROWS[1])))
    gone = prune.tests_without(ROOT, modules_without(ROOT, left_out), left_out, [])
    assert gone
    assert gone.isdisjoint(ROOT / f"tests/contracts/test_{port}.py" for port in ("ledger", "notifier", "vectors"))


def test_what_needs_a_part_goes_with_it() -> None:
    needs = {"rail": [], "train": ["rail"], "driver": ["train"], "bus": []}
    assert leave_out(["rail"], needs) == {"rail", "train", "driver"}
    assert leave_out(["driver", "bus"], needs) == {"driver", "bus"}


def test_the_weekly_build_reads_its_rows_with_nothing_installed() -> None:
    bare = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        "import runpy, sys; sys.path.insert(0, '.'); runpy.run_module('lab.project.pairs', None, '__main__')",
    ]
    name, _, rows = subprocess.run(bare, cwd=ROOT, capture_output=True, text=True, check=True).stdout.partition("=")
    assert name == "rows"
    assert [frozenset(filter(None, row.split(","))) for row in json.loads(rows)] == ROWS


@pytest.mark.slow
@pytest.mark.parametrize("without", ROWS[:2], ids=["nothing", "everything"])
def test_with_these_parts_left_out_the_guards_hold(upstream: Path, tmp_path: Path, without: frozenset[str]) -> None:
    """Types and the tests themselves take minutes a project: in the weekly build `make new CHECK=all` runs them for each row."""
    project = tmp_path / "acme"
    render(
        upstream,
        project,
        Choices(name="acme-desk", without=(*sorted(without), *ALWAYS_OUT)),
        commit="0" * 40,
        origin="here",
    )
    for command in (
        ["ruff", "check", "--no-cache", "-q", "."],
        ["ruff", "format", "--no-cache", "--check", "-q", "."],
        ["lint-imports", "--no-cache"],
    ):
        program = Path(sys.executable).with_name(command[0])
        done = subprocess.run([program, *command[1:]], cwd=project, capture_output=True, text=True, check=False)
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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pgae"], 'Did you mean "page"'),
        (["vectors/qrant"], 'Did you mean "vectors/qdrant"'),
        (["=tiny"], 'no preset "tiny"'),
        (["+evaluate"], "none was named. Add ONLY=small"),
        (["vectors/chroma"], r'stack\.toml needs "vectors/chroma".*, or change stack\.toml\.'),
        (["objects"], r'ladder needs "objects".*, or leave ladder out as well\.'),
        (["=small", "+demo"], '"demo" cannot be kept'),
        (["=small", "+lab"], '"lab" cannot be kept'),
        (["=small", "+page", "page"], '"page" cannot be kept'),
        (["=small", "agents/tool_calling"], r'stack\.toml needs "agents/tool_calling"'),
    ],
)
def test_choices_that_cannot_be_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        check_parts(ROOT, Choices.of("acme-desk", words))


def test_choices_are_said_and_read_in_one_grammar() -> None:
    words = ["page", "vectors/qdrant", "+evaluate", "=small"]
    assert Choices.of("acme", words).words == words


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
        new.write(tmp_path / "acme", Choices(name="acme-desk", without=()), "HEAD")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SixplyError, match="could not be written"):
        new.write(tmp_path / "file" / "acme", Choices(name="acme-desk", without=()), "HEAD")


def test_a_tree_that_is_no_checkout_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new, "ROOT", tmp_path)
    shutil.copy(ROOT / "optional.toml", tmp_path)
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
    assert prune_lock(lock, ["b"]) == "a==1 \\\n    --hash=x\n    # via\n    #   c\n" + pin("c", ours)
    assert prune_lock(pin("b", ours, "c"), ["b"]) == pin("b", ours, "c"), "somebody else needs it"
    assert prune_lock(pin("b", ours, "c") + pin("c", ours), ["b", "c"]) == "", "nobody is left who needs it"


def test_its_guide_for_contributors_says_nothing_of_the_template_alone(upstream: Path, tmp_path: Path) -> None:
    render(
        upstream, tmp_path / "acme", Choices(name="acme", without=("page", *ALWAYS_OUT)), commit="0" * 40, origin="here"
    )
    here, guide = ((folder / "CONTRIBUTING.md").read_text() for folder in (upstream, tmp_path / "acme"))
    assert re.findall(r"\blab\b|make (?:house|new|release-check)|<!--", here)
    assert re.findall(r"\blab\b|make (?:house|new|release-check)|<!--", guide) == []
    assert ("extensions/page/views/" in here, "| a view of the page |" in guide) == (True, False)
    assert "| a document format | `retrieval/parsers/`" in guide
    assert "\n\n\n" not in guide
    assert set(guide.splitlines()) - set(here.splitlines()) == {
        line.removesuffix(", lab/") for line in here.splitlines() if line.endswith(", lab/")
    }


def test_links_to_pages_that_are_gone_become_words(tmp_path: Path) -> None:
    (tmp_path / "there.md").touch()
    assert unlink_dead("[a](there.md#x) [b](gone.md) ![c](gone.png) [d](https://x.org) [e](#f)", tmp_path) == (
        "[a](there.md#x) b c [d](https://x.org) [e](#f)"
    )


@pytest.fixture(scope="module")
def light(upstream: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template without its tests and pages. An update writes two projects, and most of its time goes into reading what tests import."""
    template = clone_of(upstream, tmp_path_factory.mktemp("light"))
    git(template, "rm", "--quiet", "-r", "tests", "docs")
    commit_all(template, "Light")
    return template


@pytest.fixture(scope="module")
def made(light: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project made from an older commit of the template, changed as its owners do, while the template went on: `template` and `acme`."""
    folder = tmp_path_factory.mktemp("made")
    template, project = clone_of(light, folder), folder / "acme"
    run_in(
        template, "new", "--name", "acme-desk", "--dir", str(project), "--without", "page,mcp_server", "--check", "0"
    )
    (project / "acme_desk" / "corpus" / "own.md").write_text("# Ours\n")
    edit(project / "stack.toml", "port = 8600", "port = 8700")
    edit(project / "acme_desk" / "tools.py", '"R-12": 8', '"R-12": 9')
    commit_all(project, "Ours")
    edit(template / "lab/project/start/own/tools.py", '"R-12": 8', '"R-12": 10')
    (template / "lab/project/start/own/corpus/later.md").write_text("# Later\n")
    edit(template / "stack.toml", "threads = 2", "threads = 3")
    (template / LEFT_OUT / "later.py").write_text('"""Later."""\n')
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
    assert not (project / LEFT_OUT).exists(), "what was left out stays out"
    assert {path.name for path in (project / "acme_desk/corpus").iterdir()} == {"own.md", "rooms.md"}, "it is theirs"
    assert '"R-12": 9' in (project / "acme_desk/tools.py").read_text()
    assert read_project(project).base == git(project.parent / "template", "rev-parse", "HEAD")
    assert before[:12] in capfd.readouterr().out
    assert git(project, "status", "--porcelain") == ""
    assert take() == 0
    assert "Up to date" in capfd.readouterr().out
    git(project, "reset", "--quiet", "--hard", before)
    assert read_project(project).base != git(project.parent / "template", "rev-parse", "HEAD")


def test_an_update_keeps_to_the_preset_and_to_what_was_kept_beside_it(
    upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template, folder = clone_of(upstream, tmp_path), tmp_path / "acme"
    choices = ["--only", "small", "--keep", "evaluate", "--without", "parsers/html", "--check", "0"]
    run_in(template, "new", "--name", "acme-desk", "--dir", str(folder), *choices)
    assert (folder / "serving" / "cli" / "judge" / "evaluate.py").exists()
    (template / "retrieval" / "vectors" / "later.py").write_text('"""Later."""\n')
    tests, page = Path("tests/unit/retrieval"), Path("docs/tools.md")
    (template / tests / "test_later.py").write_text("import retrieval.parsers.text\n")
    (template / tests / "test_later_html.py").write_text("import retrieval.parsers.html\n")
    pruned = [tests / "test_parsing_formats.py", Path("docs/corpus.md")]
    merged = [Path("retrieval/contract.py"), tests / "test_parsing_text.py", page]
    for path in (*pruned, *merged):
        (template / path).write_text((template / path).read_text() + "\n# Later\n")
    (folder / page).write_text("Ours.\n\n" + (folder / page).read_text())
    commit_all(folder, "Ours")
    commit_all(template, "Later")
    monkeypatch.setattr(update, "ROOT", folder)
    take()
    assert [path for path in merged if not (folder / path).read_text().endswith("# Later\n")] == []
    assert (folder / page).read_text().startswith("Ours.\n")
    assert (folder / tests / "test_later.py").exists()
    assert not (folder / tests / "test_later_html.py").exists()
    assert [path for path in pruned if (folder / path).exists()] == []
    assert not (folder / "retrieval" / "vectors" / "later.py").exists()
    assert not (folder / "retrieval" / "parsers" / "html.py").exists()
    assert read_project(folder).choices.words == ["example", "lab", "parsers/html", "+evaluate", "=small"]


def last_before_the_move() -> str:
    """The last commit of this repository that had the renderer with its command, in the product; empty in a checkout without it."""
    gone = subprocess.run(["git", "rev-list", "-1", "HEAD", "--", "serving/cli/project/new.py"],
                          cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()  # fmt: skip
    there = gone and succeeds(ROOT, "cat-file", "-e", f"{gone}^:serving/cli/project/new.py")
    return f"{gone}^" if there else ""


BEFORE = last_before_the_move()
if BEFORE:  # a shallow checkout, such as one of CI, has no commit but its own

    def test_a_project_made_before_the_renderer_moved_is_updated_by_its_own_command_and_then_by_ours(
        light: Path, tmp_path: Path
    ) -> None:
        """From a commit that had the renderer with its command, in the product."""
        template, folder = tmp_path / "template", tmp_path / "acme"
        git(tmp_path, "clone", "--quiet", "--shared", "--no-checkout", str(ROOT), str(template))
        git(template, "remote", "remove", "origin")
        git(template, "checkout", "--quiet", "-B", "main", BEFORE)
        subprocess.run([sys.executable, "-m", "serving.cli", "new", "--name=acme-desk", f"--dir={folder}", "--only=small", "--check=0"],
                       cwd=template, env={**os.environ, "PYTHONPATH": str(template)}, check=True)  # fmt: skip
        assert "new" in read_project(folder).choices.words, "the part that it was then"
        git(template, "fetch", "--quiet", str(light), "main")
        moved = git(
            template, *author_for(template), "commit-tree", "FETCH_HEAD^{tree}", "-p", "HEAD", "-m", "It has moved"
        )
        git(template, "reset", "--quiet", "--hard", moved)
        for later in (False, True):
            if later:
                edit(template / "stack.toml", "threads = 2", "threads = 3")
                commit_all(template, "Later")
            run_in(folder, "update", "--check", "0")
            assert read_project(folder).base == git(template, "rev-parse", "HEAD")
            assert (folder / "serving/cli/project/update.py").read_bytes() == Path(update.__file__).read_bytes()
            assert not (folder / "serving/cli/project/render.py").exists()
            assert not (folder / "lab").exists()


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


def test_a_part_that_its_owner_deleted_stays_deleted_with_what_the_template_adds_to_it(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    template, part = project.parent / "template", OPTIONAL["ray"]["paths"]
    for path in part:
        (project / path).unlink()
    commit_all(project, "Without Ray")
    (template / part[0]).write_text('"""Changed."""\n')
    (template / "serving/processes/ray_later.py").write_text('"""Later."""\n')
    edit(template / "optional.toml", f'"{part[0]}", ', f'"{part[0]}", "serving/processes/ray_later.py", ')
    commit_all(template, "Ray goes on")
    assert take() == 0
    assert [path for path in (*part, "serving/processes/ray_later.py") if (project / path).exists()] == []
    said = capfd.readouterr().out
    assert "2 deleted by you, and not brought back" in said
    assert "0 changed by both in the same lines" in said
    assert (project / "serving" / "later.py").exists()


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
    ends = re.findall(r"git (reset --hard \w+|update-ref -d \S+)", str(refused.value))
    git(root, *ends[0].split())
    git(root, *ends[-1].split())
    assert (git(root, "rev-parse", "HEAD"), git(root, "status", "--porcelain")) == (after, "")
    assert (root / "stack.toml").read_text() == "# new\n"
    with pytest.raises(InvalidRequest):  # of the template that is nowhere, and no more of the one before
        update.update()


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


def test_comments_of_stack_toml_offer_no_adapter_that_was_left_out(tmp_path: Path) -> None:
    (tmp_path / "retrieval/vectors").mkdir(parents=True)
    (tmp_path / "retrieval/vectors/memory.py").touch()
    stack = (
        '[retrieval.vectors]\nuse = "chroma"  # kept in a folder; or: memory, pgvector, qdrant (by address)\n'
        '[retrieval.ledger]\nuse = "sqlite"  # or: postgres\n'
        '[models.entailment]\nuse = "signs"  # or: cross_encoder (path = "folder" of an\n# encoder)\n'
        "[serving.http]\nport = 8600  # or: postgres\n"
    )
    left = _without_offers(stack, ROOT, tmp_path)
    assert left == stack.replace("memory, pgvector, qdrant (by address)", "memory").replace(
        '"sqlite"  # or: postgres', '"sqlite"'
    )


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
        for part in (prove.GATE, prove.SWAP_WORKER, prove.CONTRACTS):
            (tree / part).parent.mkdir(parents=True, exist_ok=True)
            (tree / part).touch()
    data.mkdir()
    steps = {}
    for about, command in prove._commands(project, "desk", "1", data, was):
        steps[about] = command[2:]
        if about == prove.ANSWERS_ARE_COMPARED:
            Path(command[-1]).write_text(json.dumps({"runs": {"a": {"rows": ["before"]}, "b": {}}}))
    assert next(iter(steps.items())) == ("stack.toml is understood", ["serving.cli", "keys"])
    assert steps[prove.CONTRACTS_ARE_KEPT] == ["serving.cli", "contracts", "--json", "-"]
    assert steps[prove.ANSWERS_ARE_COMPARED][2:6] == [str(was / "stack.toml"), "stack.toml", "--checkout", str(was)]
    assert json.loads(Path(steps[prove.NO_SCORE_FELL][-1]).read_text()) == {"rows": ["before"]}
    (project / "desk").mkdir()
    (project / "desk" / "baseline.json").touch()
    assert gates_of(project, "1", data, was) == [["serving.cli", "gate", "--json", "-"]], "the project's own counts"
    (was / prove.SWAP_WORKER).unlink()
    assert prove.ANSWERS_ARE_COMPARED not in dict(prove._commands(project, "desk", "1", data, was)), "it is too old"


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
