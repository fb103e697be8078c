"""The OpenVINO embedder computes nothing wrongly in silence, and needs no torch. Its extension compares both: tests/extensions/torch_models."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings

from foundation.components import Context, load
from foundation.errors import ComponentError, InvalidSetting, WeightsInvalid
from foundation.settings import Part
from models.encoders.compiled import CompiledEmbedder
from tests.doubles import tiny_models

TEXTS = ["Refunds are paid within fourteen days.", "printer", "Der Drucker druckt nicht mehr. " * 20, ""]
ROOT = Path(__file__).resolve().parents[3]


def _load(use: str, **options: Any) -> Any:
    part = Part.model_validate({"use": use, "threads": 1, **options})
    return load("models.embedder", part, Context(data_dir=Path("unused")), expected=Embeddings)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers folder with a BERT of two layers and random weights."""
    return tiny_models.bert(tmp_path_factory.mktemp("model") / "tiny-bert")


@pytest.fixture
def altered(tiny: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    return Path(shutil.copytree(tiny, tmp_path / "altered"))


def _write(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content), encoding="utf-8")


def _change(file: Path, **values: Any) -> None:
    _write(file, {**json.loads(file.read_text(encoding="utf-8")), **values})


def test_long_texts_are_cut_at_the_models_limit_or_at_a_lower_one(tiny: Path) -> None:
    assert len(_load("openvino", path=str(tiny)).embed_tokens([TEXTS[2]])[0]) == 32
    assert len(_load("openvino", path=str(tiny), max_tokens=9).embed_tokens([TEXTS[2]])[0]) == 9


def test_more_tokens_than_the_model_has_places_are_refused(tiny: Path) -> None:
    with pytest.raises(InvalidSetting, match="knows 64 places"):
        _load("openvino", path=str(tiny), max_tokens=65)


def test_a_vector_does_not_depend_on_what_else_is_embedded(tiny: Path) -> None:
    embedder = _load("openvino", path=str(tiny), threads=2)
    together = embedder.embed_array([*TEXTS, *reversed(TEXTS)])
    alone = np.concatenate([embedder.embed_array([text]) for text in TEXTS])
    assert np.array_equal(together, np.concatenate([alone, alone[::-1]]))


@pytest.mark.parametrize(
    ("file", "values", "named"),
    [
        ("config.json", {"model_type": "roberta"}, "model_type"),
        ("config.json", {"hidden_act": "relu"}, "hidden_act"),
        ("config.json", {"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ("1_Pooling/config.json", {"pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": True}, "pooling"),
    ],
)
def test_a_model_that_the_graph_would_compute_wrongly_is_refused(
    altered: Path, file: str, values: dict[str, Any], named: str
) -> None:
    _change(altered / file, **values)
    with pytest.raises(WeightsInvalid, match=rf'{named}.*differ.*"sentence_transformers"'):
        _load("openvino", path=str(altered))


def test_a_module_after_the_pooling_is_refused(altered: Path) -> None:
    modules = json.loads((altered / "modules.json").read_text(encoding="utf-8"))
    _write(altered / "modules.json", [*modules, {"type": "sentence_transformers.models.Dense"}])
    with pytest.raises(WeightsInvalid, match="modules"):
        _load("openvino", path=str(altered))


@pytest.mark.parametrize("file", ["config.json", "modules.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("content", [None, b"{"], ids=["missing", "broken"])
def test_a_missing_or_broken_file_is_named(altered: Path, file: str, content: bytes | None) -> None:
    (altered / file).unlink() if content is None else (altered / file).write_bytes(content)
    with pytest.raises(WeightsInvalid, match=file):
        _load("openvino", path=str(altered)).embed_query("text")


def test_a_missing_tensor_is_named(altered: Path) -> None:
    _change(altered / "config.json", num_hidden_layers=3)
    embedder = _load("openvino", path=str(altered))
    for _ in range(2):
        with pytest.raises(WeightsInvalid, match=r"no tensor encoder\.layer\.2\.attention"):
            embedder.embed_query("text")


def test_a_failure_of_the_engine_is_ours_with_its_cause(tiny: Path) -> None:
    embedder = _load("openvino", path=str(tiny))

    class Fails:
        def infer(self, *_: Any, **__: Any) -> None:
            raise RuntimeError("out of memory")

    embedder._idle.get()
    embedder._idle.put((0, Fails()))
    with pytest.raises(ComponentError, match="out of memory") as caught:
        embedder.embed_query("text")
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert embedder._idle.qsize() == 1, "the next call must not wait for it"


def test_a_single_text_has_a_graph_of_one_thread_and_the_others_are_compiled_when_it_is_busy(
    tiny: Path,
) -> None:
    whole, compiled = _load("openvino", path=str(tiny), threads=3), []

    def compile_for(threads: int) -> Any:
        compiled.append(threads)
        return whole._compile_for(threads)

    embedder = CompiledEmbedder(
        compile_for, whole._tokenizer, name="tiny", dimensions=whole.dimensions, threads=3, batch_size=2
    )
    alone = [embedder.embed_query(text) for text in TEXTS]
    assert np.array_equal(np.asarray(alone, dtype=np.float32), embedder.embed_array(TEXTS))
    assert compiled == [1], "a few are faster one after another than a second graph is compiled"
    with embedder._request(), embedder._request(), embedder._request():
        assert compiled == [1, 2]
        assert embedder._idle.empty()
    assert np.array_equal(np.asarray(alone, dtype=np.float32), embedder.embed_array(TEXTS))
    assert compiled == [1, 2]


def test_whoever_builds_one_need_not_wait_for_the_graph_but_the_first_text_does(tiny: Path) -> None:
    whole, built = _load("openvino", path=str(tiny)), threading.Event()

    def compile_for(threads: int) -> Any:
        if not built.wait(120):
            raise TimeoutError("whoever builds one waits for the graph")
        return whole._compile_for(threads)

    embedder = CompiledEmbedder(
        compile_for, whole._tokenizer, name="tiny", dimensions=whole.dimensions, threads=1, batch_size=2
    )
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(embedder.embed_query, TEXTS[0])
        built.set()
        assert found.result() == whole.embed_query(TEXTS[0])


PROGRAM = """
import asyncio, sys
from pathlib import Path
from serving.settings import load
from foundation.types import Principal
from orchestration.requests import AnswerRequest
from retrieval.documents import Source
from retrieval.ingest.preparation import Item
from serving import app, wiring
chat = {"use": "scripted"}
quoting = {"agent": {"use": "auto", "without_tools": {"use": "quoting", "writes": False}}}
told = {"foundation": {"data_dir": sys.argv[1]}, "models": {"chat": chat}, "orchestration": quoting}
loaded = load(Path("stack.toml"), overrides=told)
source = Source(uri="a", tenant="t", title="Refunds", media_type="text/plain")
async def answer(system):
    request, person = AnswerRequest(question="When is a refund paid?"), Principal("x", "t", frozenset({"reader"}))
    return [event.answer async for event in system.agent.stream(request, person) if event.answer][0].text
with wiring.open_system(loaded) as system:
    system.retrieval.ingestor.ingest([Item(source=source, content=b"A refund is paid within fourteen days.", name="a.txt")])
    print(asyncio.run(answer(system)))
print(sorted({"torch", "transformers", "sentence_transformers"} & set(sys.modules)), sys.modules["openvino_telemetry"])
"""


@pytest.mark.real_model
def test_ingesting_and_answering_import_neither_torch_nor_anything_that_reports_to_its_maker(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer, imported = done.stdout.splitlines()[-2:]
    assert "fourteen days" in answer
    assert imported == "[] None"
