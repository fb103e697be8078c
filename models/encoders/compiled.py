"""Embedding by a compiled encoder: OpenVINO on the CPU, without torch.

What makes it faster than torch on the same threads: the engine's fused kernels, int8 without calibration text, and small batches,
whose rows stay in the processor's cache.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from foundation.errors import ComponentError
from models.embedding import ArrayEmbeddings, Vectors
from models.encoders.bert import Array, engine

if TYPE_CHECKING:
    import openvino
    from tokenizers import Tokenizer

# Texts are padded to a multiple of this many tokens, since the first use of a length costs some milliseconds
STEP = 8
# Batches beyond the first of their call after which the graph is compiled for the other threads, too: that takes as long as they did
WORTH_COMPILING = 64


class CompiledEmbedder(ArrayEmbeddings):
    """Embeds texts and single tokens by a compiled graph. Thread-safe.

    Texts of one padded length share a batch, so that a vector does not depend on other texts. The graph is compiled
    for one thread, a fifth faster for a query, and for the others when that one is busy, or once there was enough to share.
    """

    def __init__(
        self,
        compile_for: Callable[[int], Any],
        tokenizer: Tokenizer,
        *,
        name: str,
        dimensions: int,
        threads: int,
        batch_size: int,
    ) -> None:
        """`compile_for` compiles for some threads: at once, in a thread whose errors the first text raises."""
        self.model_name = name
        self.dimensions = dimensions
        self._compile_for = compile_for
        self._tokenizer = tokenizer
        self._threads = threads
        self._batch_size = batch_size
        # The first one's request comes first
        self._idle: queue.PriorityQueue[tuple[int, Any]] = queue.PriorityQueue()
        self._compiling = threading.Lock()
        self._compiled_for = 1
        self._one_by_one = 0
        compiler = ThreadPoolExecutor(1, thread_name_prefix="compile-encoder")
        self._compiled = compiler.submit(lambda: self._idle.put((0, compile_for(1).create_infer_request())))
        compiler.shutdown(wait=False)

    def embed_array(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors, shape (texts, dimensions), float32, rows of unit length, in input order. Raises ComponentError."""
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for places, (rows, _) in self._compute_batches(self._token_ids(texts), tokens=False):
            vectors[places] = rows
        return vectors

    def embed_tokens(self, texts: Sequence[str]) -> list[Vectors]:
        """Return per text the token vectors, with the marks at both ends: (tokens, dimensions), float32, unit rows. Raises ComponentError."""
        ids = self._token_ids(texts)
        vectors: list[Vectors] = [np.zeros((0, self.dimensions), dtype=np.float32)] * len(texts)
        for places, (_, token_rows) in self._compute_batches(ids, tokens=True):
            for place, rows in zip(places, token_rows, strict=True):
                own = rows[: len(ids[place])]
                vectors[place] = own / np.linalg.norm(own, axis=1, keepdims=True)
        return vectors

    def _token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    def _compute_batches(self, ids: list[list[int]], *, tokens: bool) -> Iterator[tuple[list[int], Any]]:
        batches = _batches([len(text_ids) for text_ids in ids], self._batch_size)

        def compute(places: list[int]) -> tuple[list[int], Any]:
            return places, self._infer([ids[place] for place in places], tokens=tokens)

        self._one_by_one += max(0, len(batches) - 1)
        if len(batches) < 2 or self._threads < 2 or self._one_by_one < WORTH_COMPILING:
            yield from map(compute, batches)
            return
        with ThreadPoolExecutor(self._threads) as pool:
            yield from pool.map(compute, batches)

    def _infer(self, ids: list[list[int]], *, tokens: bool) -> tuple[Vectors, Vectors | None]:
        length = _padded_length(len(ids[0]))
        padded = np.zeros((len(ids), length), dtype=np.int32)
        mask = np.zeros((len(ids), length), dtype=np.float32)
        for row, tokens_of_text in enumerate(ids):
            padded[row, : len(tokens_of_text)] = tokens_of_text
            mask[row, : len(tokens_of_text)] = 1
        with self._request() as request:
            request.infer({0: self._entries(padded), 1: mask}, share_inputs=True)
            # Copies: the engine writes the next result into the same memory.
            rows = request.get_output_tensor(0).data.copy()
            return rows, request.get_output_tensor(1).data.copy() if tokens else None

    def _entries(self, ids: Array) -> Array:
        """Return what the graph takes for token ids."""
        return ids

    @contextmanager
    def _request(self) -> Iterator[Any]:
        """Yield one of the inference requests, of which there is one per thread; wait while all are in use."""
        try:
            self._compiled.result()
            try:
                number, request = self._idle.get_nowait()
            except queue.Empty:
                self._compile_for_all()
                number, request = self._idle.get()
            try:
                yield request
            finally:
                self._idle.put((number, request))
        except RuntimeError as error:
            raise ComponentError(
                f"OpenVINO could not compute with {self.model_name}: {error}. Check the memory, then try again."
            ) from error

    def _compile_for_all(self) -> None:
        with self._compiling:
            if self._compiled_for < self._threads:
                others = self._compile_for(self._threads - 1)
                for number in range(1, self._threads):
                    self._idle.put((number, others.create_infer_request()))
                self._compiled_for = self._threads


def _padded_length(length: int) -> int:
    return -(-length // STEP) * STEP


def _batches(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Return batches of indices of texts with one padded length, longest first, so that no thread starts the longest one last.

    >>> _batches([3, 20, 8, 5], 2)
    [[1], [0, 2], [3]]
    """
    places = sorted(range(len(lengths)), key=lambda place: -_padded_length(lengths[place]))
    alike = [list(group) for _, group in groupby(places, key=lambda place: _padded_length(lengths[place]))]
    return [group[start : start + size] for group in alike for start in range(0, len(group), size)]


def compile_graph(model: openvino.Model, threads: int, *, int8: bool) -> Any:
    """Compile a graph. All settings that change a vector are fixed, so that it does not depend on the machine."""
    properties = {
        "NUM_STREAMS": threads,  # one thread per text, without barriers, which are slow on a busy machine
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,  # a pinned thread waits for a busy core while another one is idle
        "INFERENCE_PRECISION_HINT": "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 64 if int8 else 0,
    }
    return engine().Core().compile_model(model, "CPU", properties)
