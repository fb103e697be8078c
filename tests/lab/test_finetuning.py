"""Fine-tuning, for real: a few steps on a tiny corpus with the bundled MiniLM, through the command's own flow."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any, get_args

import pytest

from foundation.components import Context, load
from foundation.errors import InvalidRequest, MissingDependency
from foundation.extensions import read_names
from foundation.settings import Part
from lab import cli
from lab.finetune import command
from lab.finetune.command import Order, finetune
from lab.finetune.held_out import apart, read_split
from lab.tuning import folder
from lab.tuning.training import Example
from models import weights
from models.contract import ScoringParts
from models.encoders.bert import Bert
from serving.settings import Loaded
from serving.settings import load as load_settings

THINGS = [
    "anchor", "barrel", "candle", "drum", "engine", "feather", "grape", "hammer",
    "island", "jacket", "kettle", "ladder", "mirror", "needle", "orchard", "pencil",
]  # fmt: skip
pytestmark = pytest.mark.real_model


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """One document about each thing; half of the questions are to train on, the others are held out."""
    beir = tmp_path / "things"
    (beir / "qrels").mkdir(parents=True)
    write(beir / "corpus.jsonl", [{"_id": name, "title": name, "text": f"This {name} is kept in hall {at}."}
                                  for at, name in enumerate(THINGS)])  # fmt: skip
    write(beir / "queries.jsonl", [{"_id": f"q-{name}", "text": f"Where is the {name}?"} for name in THINGS])
    for split, names in (("train", THINGS[::2]), ("test", THINGS[1::2])):
        rows = "".join(f"q-{name}\t{name}\t1\n" for name in names)
        (beir / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}", encoding="utf-8")
    return beir


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def configure(tmp_path: Path) -> Any:
    def configured(overrides: dict[str, Any]) -> Loaded:
        home = {"foundation": {"data_dir": str(tmp_path / "var"), "threads": 1}}
        return load_settings(overrides={**home, **overrides})

    return configured


def order(data: Path, to: Path, **more: Any) -> Order:
    return Order(data=data, to=to, seed=7, **{"epochs": 1, **more})


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Example]:
    """What was trained on, by either trainer; the training goes on."""
    from lab.tuning import embedder, reranker

    found: list[Example] = []
    for module in (embedder, reranker):
        train = module.train

        def spied(examples: Any, *, train: Any = train, **rest: Any) -> Any:
            found.extend(examples)
            return train(examples, **rest)

        monkeypatch.setattr(module, "train", spied)
    return found


def tuned(configure: Any, part: str, data: Path, to: Path) -> dict[str, Any]:
    told = to.parent / f"{to.name}.json"
    finetune(configure, part, order(data, to), told)
    figures: dict[str, Any] = json.loads(told.read_text())
    return figures


def reranked(path: Path, where: Path) -> list[float]:
    parts = ScoringParts(data_dir=where, threads=1, embedder=None)  # type: ignore[arg-type]
    reranker = load("models.reranker", Part(use="cross_encoder", path=str(path)), parts)
    return list(reranker.score("Where is the anchor?", ["This anchor is kept in hall 0.", "A grape."]))


def test_a_tuned_reranker_loads_scores_alike_for_one_seed_and_never_saw_what_was_held_out(
    configure: Any, data: Path, tmp_path: Path, seen: list[Example]
) -> None:
    figures = tuned(configure, "reranker", data, tmp_path / "one")
    again = tuned(configure, "reranker", data, tmp_path / "two")

    first = reranked(tmp_path / "one", tmp_path)
    assert first == reranked(tmp_path / "two", tmp_path)
    assert first[0] != first[1]
    assert (figures["gain"], figures["rerank_weight"]) == (again["gain"], again["rerank_weight"])
    assert {one.query for one in seen} <= {f"Where is the {name}?" for name in THINGS[::2]}
    assert all(f"This {name} " not in text for one in seen for text in one.negatives for name in [one.query[13:-1]])
    assert figures["n_trained"] + figures["n_weighed"] == figures["n_held_out"] == 8


def test_a_tuned_embedder_is_served_by_the_default_adapter_with_other_vectors_and_its_record_says_what_it_is(
    configure: Any, data: Path, tmp_path: Path, seen: list[Example]
) -> None:
    to = tmp_path / "weights" / "tuned-embedder"
    figures = tuned(configure, "embedder", data, to)
    record = json.loads((to / folder.RECORD).read_text())

    context = Context(data_dir=tmp_path, threads=1)
    text = "Where is the anchor?"
    ours = load("models.embedder", Part(use="openvino", path=str(to)), context).embed_query(text)
    bundled = load("models.embedder", Part(use="openvino"), context).embed_query(text)
    theirs = load("models.embedder", Part(use="sentence_transformers", path=str(to)), context).embed_query(text)
    cosine = sum(a * b for a, b in zip(ours, theirs, strict=True))
    assert cosine > 0.99, "both adapters read the same folder"
    assert ours != bundled
    assert Bert.of(to).max_tokens == Bert.of(weights.MINILM.path.parent).max_tokens
    assert len(seen) == record["examples"] == 8
    assert record["from"]["name"] == "all-MiniLM-L6-v2"
    assert (record["seed"], record["n_held_out"], record["verdict"]) == (7, 8, figures["verdict"])
    assert record["data_sha256"]
    assert record["libraries"]["datasets"]
    assert figures["stack"]["models.embedder"] == {"use": "openvino", "path": str(to)}
    assert {path.name for path in to.parent.iterdir()} == {f"{to.name}.json", to.name}


def test_the_golden_set_of_the_stored_documents_will_do(configure: Any, data: Path, tmp_path: Path) -> None:
    from extensions.datasets.reading import TENANT, items_of, read_corpus
    from serving.wiring import open_system

    golden = tmp_path / "golden.jsonl"
    write(golden, [
        {"id": name, "question": f"Where is the {name} now?", "kind": "answerable", "tenant": TENANT,
         "gold_documents": [name], "answers": ["hall"], "answerable": True}
        for name in THINGS
    ])  # fmt: skip
    with pytest.raises(InvalidRequest, match="Ingest the documents"):
        finetune(configure, "embedder", order(golden, tmp_path / "to"), None)
    with open_system(configure({})) as system:
        system.retrieval.ingestor.ingest(items_of(read_corpus(data)))

    figures = tuned(configure, "embedder", golden, tmp_path / "to")

    split = read_split(golden)
    assert (figures["n_trained"], figures["n_held_out"]) == (len(split.train), len(split.held_out))
    assert figures["split"] == "two halves by a hash of the question"


def test_a_training_that_ends_early_leaves_nothing_new_and_the_old_folder_as_it_was(
    configure: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lab.tuning import reranker

    to = tmp_path / "weights" / "tuned"
    to.mkdir(parents=True)
    (to / folder.RECORD).write_text("{}")

    def interrupted(*_: Any, to: Path, **__: Any) -> int:
        (to / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(reranker, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        finetune(configure, "reranker", order(data, to), None)

    assert [path.name for path in to.iterdir()] == [folder.RECORD]
    assert list(to.parent.iterdir()) == [to]


def test_a_folder_that_no_tuning_wrote_is_not_replaced(configure: Any, data: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="was not written by make finetune"):
        finetune(configure, "reranker", order(data, data), None)
    assert (data / "corpus.jsonl").exists()


@pytest.mark.parametrize("section", ["models.chat", "models.embedder", "models.reranker"])
def test_a_model_in_use_is_not_replaced(configure: Any, data: Path, tmp_path: Path, section: str) -> None:
    to = tmp_path / "tuned"
    to.mkdir()
    for file in (folder.RECORD, "model.safetensors", "tuned.gguf"):
        (to / file).write_text("{}")
    named = {
        "models.chat": {"models": {"chat": {"adapter": str(to / "tuned.gguf")}}},
        "models.embedder": {"models": {"embedder": {"path": str(to)}}},
        "models.reranker": {
            "extensions": [*read_names(Path("stack.toml")), "torch_models"],
            "models": {"reranker": {"use": "cross_encoder", "path": f"{to}/../tuned"}},
        },
    }[section]
    with pytest.raises(InvalidRequest, match=rf"in use by \[{section}\]; name another folder with TO="):
        finetune(lambda _: configure(named), "reranker", order(data, to), None)
    assert len(list(to.iterdir())) == 3


def test_a_place_inside_the_data_is_refused(configure: Any, data: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"lies in .*things.*outside with TO="):
        finetune(configure, "reranker", order(data, data / "tuned"), None)


def test_what_an_end_between_the_last_two_steps_left_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "tuned"
    with folder.beside(to) as new:
        (new / folder.RECORD).write_text("first")

    def ended(path: Path, target: Path) -> Path:
        if path.parent != to.parent and target == to:
            raise KeyboardInterrupt
        return replaces(path, target)

    replaces = Path.replace
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", ended)
        with pytest.raises(KeyboardInterrupt), folder.beside(to) as new:
            (new / folder.RECORD).write_text("second")
    assert (to / folder.RECORD).read_text() == "first"

    to.replace(tmp_path / ".tuned.before")  # as a killed process leaves it
    with pytest.raises(RuntimeError, match="stopped"), folder.beside(to):
        raise RuntimeError("stopped")
    assert (to / folder.RECORD).read_text() == "first"
    with folder.beside(to) as new:
        (new / folder.RECORD).write_text("third")
    assert (to / folder.RECORD).read_text() == "third"
    assert list(tmp_path.iterdir()) == [to]


def test_without_the_extra_it_says_what_to_install(
    configure: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "datasets" else find(name, *a))
    with pytest.raises(MissingDependency, match=r"needs datasets, .*make setup WITH=finetune"):
        finetune(configure, "reranker", order(data, tmp_path / "to"), None)


def test_an_embedder_without_weights_here_cannot_be_tuned(configure: Any, data: Path, tmp_path: Path) -> None:
    def hashed(overrides: dict[str, Any]) -> Loaded:
        return configure({"models": {"embedder": {"use": "hashing"}}, **overrides})

    with pytest.raises(InvalidRequest, match='"hashing" has no weights here'):
        finetune(hashed, "embedder", order(data, tmp_path / "to"), None)


# --- the split --------------------------------------------------------------------------------------------------------


def test_a_training_query_that_says_what_a_held_out_one_says_is_left_out(data: Path) -> None:
    with (data / "queries_train.jsonl").open("w") as file:
        file.write(json.dumps({"_id": "same", "text": "where  is the BARREL?"}) + "\n")
    with (data / "qrels" / "train.tsv").open("a") as file:
        file.write("same\tbarrel\t1\n")

    split = read_split(data)

    assert split.left_out == 1
    assert not {query.words for query in split.train} & {query.words for query in split.held_out}
    assert len(split.train) == len(split.held_out) == 8


def test_judged_queries_without_a_text_are_counted(data: Path) -> None:
    rows = [{"_id": f"q-{name}", "text": f"Where is the {name}?"} for name in THINGS[1::2]]
    write(data / "queries.jsonl", rows)
    with pytest.raises(
        InvalidRequest, match=r"8 judged queries have no text: .*queries\.jsonl or queries_train\.jsonl"
    ):
        read_split(data)
    write(data / "queries_train.jsonl", [{"_id": f"q-{name}", "text": f"The {name}?"} for name in THINGS[::2]])
    assert read_split(data).without_text == 0


def test_with_one_file_of_judgements_each_query_has_its_side_whatever_else_is_asked(data: Path, tmp_path: Path) -> None:
    names = [f"{name}-{number}" for name in THINGS for number in range(4)]
    write(data / "queries.jsonl", [{"_id": name, "text": f"Where is {name}?"} for name in names])
    (data / "qrels" / "train.tsv").unlink()

    def split_of(asked: list[str]) -> Any:
        rows = "".join(f"{name}\tanchor\t1\n" for name in asked)
        (data / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}", encoding="utf-8")
        return read_split(data)

    whole, part = split_of(names), split_of(names[10:][::-1])

    assert whole.how == "two halves by a hash of the question"
    assert {one.query_id for one in part.train} == {one.query_id for one in whole.train} - set(names[:10])
    assert sorted(one.query_id for one in (*whole.train, *whole.held_out)) == sorted(names)
    to_train, to_weigh = apart(whole.train)
    assert to_weigh
    assert not {one.query_id for one in to_train} & {one.query_id for one in to_weigh}


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda data: (data / "corpus.jsonl").unlink(), "corpus.jsonl cannot be read"),
        (lambda data: (data / "queries.jsonl").write_text("{"), "line 1 is not a JSON object"),
        (lambda data: (data / "qrels" / "train.tsv").write_text("q-anchor\tanchor\t1\n"), "has 1 queries to train on"),
        (lambda data: [file.unlink() for file in (data / "qrels").iterdir()], "test.tsv cannot be read"),
    ],
)
def test_bad_data_are_told_before_anything_is_trained(
    configure: Any, data: Path, tmp_path: Path, spoil: Any, says: str
) -> None:
    spoil(data)
    with pytest.raises(InvalidRequest, match=says):
        finetune(configure, "reranker", order(data, tmp_path / "to"), None)
    assert not (tmp_path / "to").exists()


def test_every_part_that_the_command_names_is_one_that_can_be_tuned() -> None:
    assert set(get_args(cli.TunedPart)) == set(command.TUNE)
