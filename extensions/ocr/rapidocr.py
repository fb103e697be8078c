"""PP-OCR by rapidocr, on the processor, with its models in its package; it reads tilted, blurred and grainy pages."""

import io
from functools import cache
from typing import Any

from foundation.components import Context
from foundation.settings import Section
from retrieval.documents import Word


class Options(Section):
    threads: int = 2


class Rapid:
    version = "rapidocr 1"
    unsure_below = 0.9

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def read(self, picture: bytes) -> list[list[Word]]:
        import numpy as np
        from PIL import Image

        with Image.open(io.BytesIO(picture), formats=("PNG",)) as opened:
            pixels = np.asarray(opened.convert("RGB"))[:, :, ::-1]
        read = _engine(self._threads)(pixels, return_word_box=True)
        lines = read.word_results if read.txts else ()  # without words, one that is none
        found = [[_word(*word) for word in line if word[2] is not None and str(word[0]).strip()] for line in lines]
        return [sorted(line, key=lambda word: word.left) for line in found if line]


@cache
def _engine(threads: int) -> Any:
    """Return the models, which are loaded once in a process."""
    from rapidocr import RapidOCR

    wanted = {"Global.log_level": "critical", "Global.return_word_box": True}
    return RapidOCR(params={**wanted, "EngineConfig.onnxruntime.intra_op_num_threads": threads})


def build(options: Options, context: Context) -> Rapid:
    del context
    return Rapid(options.threads)


def _word(text: str, confidence: float, corners: Any) -> Word:
    across, down = [float(x) for x, _ in corners], [float(y) for _, y in corners]
    return Word(str(text).strip(), float(confidence), min(across), min(down), max(across), max(down))
