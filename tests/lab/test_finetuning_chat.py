"""`make finetune PART=chat`, for real: a few steps on conversations, and on a tiny golden set with its own documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foundation.components import Context, load
from foundation.errors import InvalidRequest
from foundation.settings import Part
from lab.finetune.chat import _with_adapter, golden_cases
from lab.finetune.command import Order, Work, finetune
from lab.tuning import chat
from models import weights
from serving.settings import Loaded
from serving.settings import load as load_settings
from tests.lab.read_once import weights_read_once  # noqa: F401 - a fixture

pytestmark = pytest.mark.real_model

THINGS = ("anchor", "barrel", "candle", "drum", "engine", "feather")


@pytest.fixture
def configure(tmp_path: Path) -> Any:
    def configured(overrides: dict[str, Any]) -> Loaded:
        home = {"foundation": {"data_dir": str(tmp_path / "var"), "threads": 1}}
        return load_settings(overrides={**home, **overrides})

    return configured


@pytest.fixture
def world(tmp_path: Path) -> Path:
    (corpus := tmp_path / "world" / "corpus").mkdir(parents=True)
    for at, name in enumerate(THINGS, 2):
        text = f"# The {name}\n\nThe {name} is kept in hall {at} of the house.\n"
        (corpus / f"{name}.md").write_text(text, encoding="utf-8")
    cases = [
        {"id": name, "question": f"In which hall is the {name} kept?", "kind": "answerable", "tenant": "house",
         "gold_documents": [f"{name}.md"], "answers": [f"hall {at}"], "answerable": True}
        for at, name in enumerate(THINGS, 2)
    ]  # fmt: skip
    write(corpus.parent / "golden.jsonl", cases)
    return corpus.parent


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def talks(count: int) -> list[dict[str, Any]]:
    return [{"messages": [{"role": "user", "content": f"Where is lamp {at}?"},
                          {"role": "assistant", "content": "In the lamp room."}]} for at in range(count)]  # fmt: skip


def tuned(configure: Any, data: Path, to: Path, **more: Any) -> tuple[bool, dict[str, Any]]:
    json_file = to.with_suffix(".json")
    better = finetune(configure, "chat", Order(data=data, to=to, seed=7, **{"epochs": 1, **more}), json_file)
    return better, json.loads(json_file.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.nightly
def test_conversations_make_an_adapter_that_the_printed_lines_load(configure: Any, tmp_path: Path) -> None:
    better, figures = tuned(configure, write(tmp_path / "talks.jsonl", talks(10)), tmp_path / "lamps")
    assert better
    assert figures["loss_after"] < figures["loss_before"]
    assert figures["n_train"] + figures["n_held_out"] == 10
    assert figures["base_sha256"] == weights.SMOLLM2.sha256
    record = json.loads((tmp_path / "lamps" / "tuning.json").read_text(encoding="utf-8"))
    assert {**record, "to": 0} == {**figures, "libraries": record["libraries"], "to": 0}
    part = Part.model_validate(figures["stack"]["models.chat"])
    model = load("models.chat", part, Context(data_dir=tmp_path, threads=1))
    try:
        assert model.model_name == f"{weights.SMOLLM2.name}+lamps"
        assert model.invoke("Hello.").text
    finally:
        model.close()


@pytest.mark.slow
@pytest.mark.nightly
def test_a_golden_set_is_asked_before_and_after(configure: Any, world: Path, tmp_path: Path) -> None:
    _, figures = tuned(configure, world, tmp_path / "halls")
    assert figures["n_train"] + figures["n_held_out"] == len(THINGS)
    assert figures["served"].keys() == {"answered", "answer_contained", "citation_precision", "citation_recall"}
    assert all(one["n"] == figures["n_held_out"] for one in figures["served"].values())
    assert figures["loss_after"] < figures["loss_before"]
    assert (tmp_path / "halls" / "halls.gguf").is_file()


def test_what_the_file_holds_is_told_by_its_first_line(world: Path, tmp_path: Path) -> None:
    assert [case.id for case in golden_cases(world) or []] == list(THINGS)
    assert golden_cases(world / "golden.jsonl") == golden_cases(world)
    marked = tmp_path / "marked.jsonl"
    marked.write_text((world / "golden.jsonl").read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert golden_cases(marked) == golden_cases(world)
    assert golden_cases(write(tmp_path / "talks.jsonl", talks(1))) is None
    (tmp_path / "text.txt").write_text("no JSON", encoding="utf-8")
    assert golden_cases(tmp_path / "text.txt") is None


def test_a_model_elsewhere_and_examples_that_are_too_few_are_refused(configure: Any, tmp_path: Path) -> None:
    data = write(tmp_path / "talks.jsonl", talks(1))
    with pytest.raises(InvalidRequest, match="1 different examples are too few"):
        tuned(configure, data, tmp_path / "new")

    def elsewhere(overrides: dict[str, Any]) -> Any:
        return configure({**overrides, "models": {"chat": {"use": "scripted"}}})

    with pytest.raises(InvalidRequest, match='use = "scripted" has no weights here'):
        tuned(elsewhere, data, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_golden_set_without_its_documents_is_refused(configure: Any, world: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="none whose evidence holds the answer"):
        tuned(configure, world / "golden.jsonl", tmp_path / "new")


def test_a_new_adapter_is_asked_without_the_pin_of_the_one_in_use(configure: Any, tmp_path: Path) -> None:
    def pinned(overrides: dict[str, Any]) -> Any:
        stack = tmp_path / "stack.toml"
        stack.write_text('[models.chat]\nuse = "llama_cpp"\nadapter = "old.gguf"\nadapter_sha256 = "00"\n')
        return load_settings(stack, overrides=overrides)

    order = Order(data=tmp_path, to=tmp_path / "to", seed=7)
    work = Work(order, pinned, tmp_path / "new", lambda *_: None)
    chosen = _with_adapter(work)({}).settings.models.chat
    assert chosen.options == {"adapter": str(tmp_path / "new" / "new.gguf"), "adapter_sha256": None}


@pytest.mark.parametrize("kind", ["conversations", "golden set"])
def test_a_limit_takes_an_even_sample(
    configure: Any, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    class Asked(Exception):
        pass

    given: list[int] = []

    def sampled(half: Any, limit: int | None) -> Any:
        given.extend([len(half), limit or 0])
        if len(given) == 4:
            raise Asked
        return half

    monkeypatch.setattr("observability.evaluation.questions.evenly", sampled)
    data = world if kind == "golden set" else write(tmp_path / "talks.jsonl", talks(20))
    with pytest.raises(Asked):
        tuned(configure, data, tmp_path / "to", limit=3)
    assert given[1::2] == [3, 3]
    assert given[0] + given[2] == (len(THINGS) if kind == "golden set" else 20)


def test_the_split_is_the_same_whatever_comes_before_it() -> None:
    many = [chat.Example.model_validate(one) for one in talks(40)]
    assert {one.key for one in chat.split(many)[1]} == {one.key for one in chat.split(many[::-1])[1]}
