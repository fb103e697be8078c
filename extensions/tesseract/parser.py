"""The parser of pictures and scanned pages that asks the program `tesseract`."""

import csv
import io
import subprocess
from functools import cached_property
from itertools import groupby

from PIL.Image import Image

from extensions.ocr.parser import SECONDS, build_with
from extensions.ocr.words import Word
from foundation.errors import DocumentRefused, MissingDependency
from retrieval.documents import ParseLimits
from retrieval.formats.text_blocks import FormatParser


class Tesseract:
    name = "tesseract"
    bound = 0.8

    @cached_property
    def _languages(self) -> str:
        listed = _run(["--list-langs"], b"").decode().split("\n")[1:]
        return "+".join(sorted({name for name in map(str.strip, listed) if name} - {"osd", "equ"})) or "eng"

    def read(self, picture: Image) -> list[list[Word]]:
        file = io.BytesIO()
        picture.save(file, "PNG", compress_level=1)
        tsv = _run(["stdin", "stdout", "-l", self._languages, "--psm", "3", "tsv"], file.getvalue()).decode(
            "utf-8", "replace"
        )
        rows = csv.DictReader(io.StringIO(tsv), delimiter="\t", quoting=csv.QUOTE_NONE)
        words = [row for row in rows if (row["text"] or "").strip() and float(row["conf"]) >= 0]
        lines = groupby(words, key=lambda row: (row["block_num"], row["par_num"], row["line_num"]))
        return [[_word(row, picture) for row in line] for _, line in lines]


def build(limits: ParseLimits) -> FormatParser:
    return build_with(Tesseract(), limits)


def _word(row: dict[str, str], picture: Image) -> Word:
    left, top, width, height = (float(row[name]) for name in ("left", "top", "width", "height"))
    wide, high = 1000 / picture.width, 1000 / picture.height
    return Word(
        row["text"].strip(),
        float(row["conf"]) / 100,
        left * wide,
        top * high,
        (left + width) * wide,
        (top + height) * high,
    )


def _run(arguments: list[str], given: bytes) -> bytes:
    try:
        # found by PATH: where Debian and others have it
        done = subprocess.run(["tesseract", *arguments], input=given, capture_output=True, timeout=SECONDS, check=False)  # noqa: S607
    except FileNotFoundError as error:
        raise MissingDependency(
            "Reading pictures with Tesseract needs its program: apt-get install tesseract-ocr, or make remove NAME=tesseract."
        ) from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[-200:]
        raise DocumentRefused(f"Tesseract could not read the picture: {said}. Save it anew.", reason="malformed")
    return done.stdout
