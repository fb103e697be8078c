"""Parts are loaded by the names of their files or by a dotted name, with their options checked."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from types import SimpleNamespace
from typing import Protocol, runtime_checkable

import pytest
from pydantic import Field, SecretStr

from foundation import components
from foundation.components import PORTS, Context, available, checked_options, load, options_of
from foundation.errors import InvalidSetting, MissingDependency, UnknownPart, UnknownSetting
from foundation.settings import BESIDE_STACK, Part, Section

SECTION = "retrieval.vectors"


class Options(Section):
    size: int = Field(default=1, ge=1)
    api_key: SecretStr | None = None


class Reads(Section):
    weights: Path = Field(json_schema_extra=BESIDE_STACK)
    more: Path | None = Field(default=None, json_schema_extra=BESIDE_STACK)
    index: Path = Path("index")


@runtime_checkable
class Index(Protocol):
    def count(self) -> int: ...
    def numerator(self) -> int: ...
    def version_token(self) -> str: ...


class Store:
    def __init__(self, size: int = 1) -> None:
        self.size = size


@pytest.fixture
def context(data_dir):
    return Context(data_dir=data_dir)


@pytest.fixture
def port(tmp_path, monkeypatch):
    """A port's folder with three adapters: one that works, one whose package is missing, one that is no adapter."""
    folder = tmp_path / "ports_of_a_test"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "good.py").write_text(
        "from tests_of_components import Options, Store\ndef build(options, context):\n    return Store(options.size)\n"
    )
    (folder / "needy.py").write_text("import a_package_that_is_not_there\n")
    (folder / "late.py").write_text(
        "from tests_of_components import Options\ndef build(options, context):\n    import a_package_that_is_not_there\n"
    )
    (folder / "bare.py").write_text("def build(options, context): ...\n")
    (folder / "empty.py").touch()
    here = types.ModuleType("tests_of_components")
    here.Options, here.Store, here.Reads = Options, Store, Reads
    monkeypatch.setitem(sys.modules, "tests_of_components", here)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(components.PORTS, SECTION, "ports_of_a_test")
    yield folder
    for name in [name for name in sys.modules if name.startswith("ports_of_a_test")]:
        del sys.modules[name]


@pytest.mark.parametrize("section", PORTS)
def test_the_folder_is_the_registry_of_every_port(section):
    assert isinstance(available(section), list)


@pytest.mark.parametrize("section", PORTS)
def test_every_adapter_refuses_options_that_it_does_not_know_and_cannot_be_changed(section):
    for name in available(section):
        options = options_of(section, name)
        assert options is not None, f"{section} {name} has no class Options"
        assert options.model_config.get("extra") == "forbid", f"{section} {name}"
        assert options.model_config.get("frozen"), f"{section} {name}"


def test_a_part_is_built_from_its_options(port, context):
    assert load(SECTION, Part(use="good", size=3), context, expected=Store).size == 3


def test_what_a_part_reads_lies_beside_stack_toml(port, data_dir, tmp_path):
    (port / "reader.py").write_text(
        "from tests_of_components import Reads\ndef build(options, context):\n    return [options.weights, options.more, options.index]\n"
        "Options = Reads\n"
    )
    beside = Context(data_dir=data_dir, stack_dir=tmp_path / "ferry")
    built = load(SECTION, Part(use="reader", weights="w/a.gguf"), beside)
    assert built == [tmp_path / "ferry" / "w" / "a.gguf", None, Path("index")]
    assert load(SECTION, Part(use="reader", weights="/w/a.gguf"), beside)[0] == Path("/w/a.gguf")


@pytest.mark.parametrize("section", PORTS)
def test_every_option_for_a_file_to_read_says_so(section):
    for name in available(section):
        for option, field in options_of(section, name).model_fields.items():
            written = isinstance(field.default, Path)  # what a part writes has a name of its own, in the data folder
            if "Path" in str(field.annotation) and not written:
                assert field.json_schema_extra == BESIDE_STACK, f"{section} {name} {option}"


def test_options_can_be_checked_without_building(port):
    assert checked_options(SECTION, Part(use="late", size=3)) == Options(size=3)


def test_a_class_of_the_ecosystem_gets_its_options_as_keywords(context):
    part = Part(use="fractions:Fraction", numerator=1, denominator=2)
    assert float(load(SECTION, part, context)) == 0.5
    assert checked_options(SECTION, part) is None


def test_an_unknown_adapter_is_named_with_what_exists_and_the_nearest(port, context):
    with pytest.raises(
        UnknownPart, match=r'No adapter "goood" in ports_of_a_test\. Found: .*good.*Did you mean "good"\?'
    ):
        load(SECTION, Part(use="goood"), context)


def test_an_unknown_option_is_named_with_the_nearest(port, context):
    with pytest.raises(
        UnknownSetting, match=r'"good" has no option "sise"\. Found: api_key, size, use\. Did you mean "size"\?'
    ):
        load(SECTION, Part(use="good", sise=3), context)


def test_a_misspelt_use_is_no_option_of_the_default_part() -> None:
    with pytest.raises(UnknownSetting, match=r'has no option "usee"\..* Did you mean "use"\?'):
        checked_options("models.chat", Part(use="llama_cpp", usee="openai_compatible"))


def test_an_option_that_does_not_fit_is_named_with_the_reason(port, context):
    with pytest.raises(InvalidSetting, match=r'option "size" of "good" does not fit: .*greater than or equal to 1'):
        load(SECTION, Part(use="good", size=0), context)
    with pytest.raises(InvalidSetting, match=r'"model" of "openai_compatible" .*: it is needed and not set\.$'):
        load("models.chat", Part(use="openai_compatible"), context)
    with pytest.raises(InvalidSetting, match=r"'\^https\?://'"):
        load("models.chat", Part(use="openai_compatible", model="m", base_url="127.0.0.1:9/v1"), context)


@pytest.mark.parametrize("use", ["needy", "late"])
def test_a_missing_package_is_named(port, context, use):
    with pytest.raises(MissingDependency, match="a_package_that_is_not_there"):
        load(SECTION, Part(use=use), context)


@pytest.mark.parametrize(
    ("use", "says"),
    [
        ("empty", 'has no "build"'),
        ("no_such_module:Thing", 'no module "no_such_module"'),
        ("fractions.deep:Thing", 'no module "fractions.deep"'),
        ("fractions:Fractoin", 'Did you mean "Fraction"'),
        ("fractions:", "fractions"),
        ("fractions.deep", 'has a colon: "fractions.deep:build"'),
        (":build", "names no module"),
        (".good:build", "names no module"),
    ],
)
def test_what_does_not_exist_is_an_unknown_part(port, context, use, says):
    with pytest.raises(UnknownPart, match=says):
        load(SECTION, Part(use=use), context)


def test_an_adapter_without_options_is_refused_with_a_text(port, context):
    with pytest.raises(InvalidSetting, match=r"no class Options\. Give it one"):
        load(SECTION, Part(use="bare"), context)


def test_a_class_of_the_ecosystem_whose_vendor_raises_is_an_invalid_setting(context, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(InvalidSetting, match=r'"langchain_openai:ChatOpenAI" refused its options: .*OPENAI_API_KEY'):
        load("models.chat", Part(use="langchain_openai:ChatOpenAI", model="m"), context)


def test_keywords_that_a_class_of_the_ecosystem_refuses_are_an_invalid_setting(context):
    with pytest.raises(InvalidSetting, match=r"fractions:Fraction.*size"):
        load(SECTION, Part(use="fractions:Fraction", size=2), context)


def test_a_part_of_another_kind_is_refused(port, context):
    with pytest.raises(InvalidSetting, match="made a Fraction, which is no Store"):
        load(SECTION, Part(use="fractions:Fraction"), context, expected=Store)


def test_what_a_part_lacks_of_its_port_is_named_so_that_a_renamed_method_is_found(port, context):
    with pytest.raises(
        InvalidSetting, match=r"made a Fraction, which is no Index, as it has no count, version_token\. Name"
    ):
        load(SECTION, Part(use="fractions:Fraction"), context, expected=Index)


def test_a_secret_does_not_stand_in_the_text_of_an_error(port, context):
    with pytest.raises(InvalidSetting) as refused:
        load(SECTION, Part(use="good", size="hunter2", api_key="hunter2"), context)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("package", "command"),
    [
        ("qdrant_client", "make setup WITH=qdrant"),
        ("redis", "make setup WITH=redis"),
        ("langchain_mistralai", "pip install langchain-mistralai"),
    ],
)
def test_a_part_whose_package_is_missing_says_what_to_run(package, command, monkeypatch, tmp_path):
    # a project has the extras of its extensions alone
    monkeypatch.setattr(components, "_extras", lambda: {"qdrant-client": ["qdrant"], "redis": ["redis"]})
    module = f"needs_{package.replace('.', '_')}"
    (tmp_path / f"{module}.py").write_text(
        f"raise ModuleNotFoundError('No module named {package}', name={package!r})\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MissingDependency, match=command):
        load(SECTION, Part(use=f"{module}:build"), Context(data_dir=tmp_path))


def test_of_several_extras_with_a_package_the_one_of_the_extension_that_asks_is_named(monkeypatch):
    declared = {"scans": SimpleNamespace(extra="scanning"), "views": SimpleNamespace(extra="")}
    monkeypatch.setattr(components.extensions, "find", declared.__getitem__)
    monkeypatch.setattr(components, "_extras", lambda: {"pdfium": ["looking", "scanning"]})
    asked = ["scans", "views", ""]
    assert [components.extra_of("pdfium", extension) for extension in asked] == ["scanning", "looking", "looking"]
    assert components.extra_of("another", "scans") is None
