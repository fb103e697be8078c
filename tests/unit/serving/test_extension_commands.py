"""`make extensions`, `add` and `remove`: the list in stack.toml is edited and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import extensions as package
from foundation.errors import InvalidRequest, InvalidSetting, UnknownPart
from serving.cli import extensions

DECLARED = "from foundation.extensions import Extension\nextension = Extension(about='It waits.', requires={})\n"
STORED = DECLARED.replace("requires", "stores='extensions.keeps.stores:STORES', requires")
STORES = "from foundation.stores.registry import Store\nSTORES = [Store(name='keeps', files=('keeps/*',), stays='it waits')]\n"
REST = '# The list\n{}\n[foundation]\ndata_dir = "{}"  # here\nthreads = 2\n'

Listed = Callable[[], str]


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stack.toml without any extension; `needs` requires `keeps`, which has stored a file."""
    for name, text in {"keeps": STORED.format(()), "needs": DECLARED.format(("keeps",))}.items():
        (folder := tmp_path / "more" / name).mkdir(parents=True)
        (folder / "__init__.py").write_text(text)
    (tmp_path / "more" / "keeps" / "stores.py").write_text(STORES)
    monkeypatch.setattr(package, "__path__", [str(tmp_path / "more")])
    for module in ("extensions.keeps", "extensions.keeps.stores", "extensions.needs"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    path = tmp_path / "stack.toml"
    path.write_text(REST.format("", tmp_path / "var"))
    return path


def lists(stack: Path, line: str) -> bool:
    """Whether it has this line, and all else as before."""
    return sorted(stack.read_text().split("\n")) == sorted(REST.format(line, stack.parent / "var").split("\n")) or (
        [text for text in stack.read_text().split("\n") if text]
        == [text for text in REST.format(line, stack.parent / "var").split("\n") if text]
    )


def test_adding_one_adds_what_it_requires_and_removing_goes_the_other_way(stack: Path) -> None:
    extensions.add("needs", stack)
    assert lists(stack, 'extensions = ["keeps", "needs"]')
    assert [(row.name, row.on, row.requires) for row in extensions.list_extensions(stack)] == [
        ("keeps", True, ()),
        ("needs", True, ("keeps",)),
    ]
    with pytest.raises(InvalidRequest, match='"needs" requires "keeps"'):
        extensions.remove("keeps", stack=stack)
    extensions.remove("needs", stack=stack)
    assert lists(stack, 'extensions = ["keeps"]')


def test_one_whose_data_stand_stays_on_until_it_is_told_to_leave_them(stack: Path) -> None:
    extensions.add("keeps", stack)
    (folder := stack.parent / "var" / "keeps").mkdir(parents=True)
    (folder / "one").touch()
    with pytest.raises(InvalidRequest, match=r'"keeps" has stored keeps/one in the data folder.*KEEP_DATA=1'):
        extensions.remove("keeps", stack=stack)
    assert lists(stack, 'extensions = ["keeps"]')
    extensions.remove("keeps", keep_data=True, stack=stack)
    assert lists(stack, "extensions = []")


def test_one_whose_folder_is_gone_can_be_taken_off_the_list(stack: Path) -> None:
    stack.write_text(REST.format('extensions = ["gone", "keeps"]', stack.parent / "var"))
    extensions.remove("gone", stack=stack)
    assert lists(stack, 'extensions = ["keeps"]')


def test_a_list_over_several_lines_becomes_one_and_a_strange_file_is_left_alone(stack: Path) -> None:
    stack.write_text(REST.format('extensions = [\n  "keeps", # it stays\n]', stack.parent / "var"))
    extensions.add("needs", stack)
    assert lists(stack, 'extensions = ["keeps", "needs"]')
    strange = '"extensions" = ["keeps"]\n[foundation]\nthreads = 2\n'
    stack.write_text(strange)
    with pytest.raises(InvalidSetting, match="could not be edited safely"):
        extensions.add("needs", stack)
    assert stack.read_text() == strange


def test_mistakes_are_told(stack: Path) -> None:
    with pytest.raises(UnknownPart, match=r'no extension "kept".*Did you mean "keeps"'):
        extensions.add("kept", stack)
    with pytest.raises(InvalidRequest, match='"keeps" is not on'):
        extensions.remove("keeps", stack=stack)


def test_one_that_is_not_here_is_brought_by_an_extension_that_is_on_and_can(
    stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder := stack.parent / "more" / "fetches").mkdir()
    (folder / "__init__.py").write_text(
        DECLARED.replace("requires", "bring='extensions.fetches.fetch:fetch', requires").format(())
    )
    (folder / "fetch.py").write_text(
        "import shutil\nfrom pathlib import Path\n\n\n"
        "def fetch(name):\n    here = Path(__file__).parents[1]\n    shutil.copytree(here / 'keeps', here / name)\n"
    )
    for module in ("extensions.fetches", "extensions.fetches.fetch", "extensions.fetched"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(UnknownPart, match='no extension "fetched"'):
        extensions.add("fetched", stack)
    extensions.add("fetches", stack)
    extensions.add("fetched", stack)
    assert lists(stack, 'extensions = ["fetches", "fetched"]')
