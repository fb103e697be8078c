"""PP-OCR by rapidocr: its models are in its package, and run on the processor."""

from functools import cached_property
from typing import Any

from PIL.Image import Image

from extensions.ocr.words import Word

THREADS = 2


class Rapid:
    name = "rapidocr"
    bound = 0.9

    @cached_property
    def _engine(self) -> Any:
        from rapidocr import RapidOCR

        threads = "EngineConfig.onnxruntime.intra_op_num_threads"
        return RapidOCR(params={"Global.log_level": "critical", "Global.return_word_box": True, threads: THREADS})

    def read(self, picture: Image) -> list[list[Word]]:
        import numpy as np

        found = self._engine(np.asarray(picture)[:, :, ::-1], return_word_box=True)
        wide, high = 1000 / picture.width, 1000 / picture.height
        return [
            [
                Word(
                    text,
                    float(confidence),
                    min(x for x, _ in corners) * wide,
                    min(y for _, y in corners) * high,
                    max(x for x, _ in corners) * wide,
                    max(y for _, y in corners) * high,
                )
                for text, confidence, corners in line
                if corners is not None and str(text).strip()
            ]
            for line in found.word_results or ()
        ]
