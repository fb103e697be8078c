"""Tesseract: a program of the system, which reads the languages that are installed with it."""

import csv
import io
import os
import subprocess
from functools import cached_property
from itertools import groupby

from foundation.components import Context
from foundation.errors import DocumentRefused, MissingDependency
from foundation.settings import Section
from retrieval.documents import Word

# Most seconds of one page
SECONDS = 120


class Options(Section):
    languages: str = ""
    """As `deu+eng`; empty: all that are installed."""


class Tesseract:
    unsure_below = 0.8

    def __init__(self, languages: str) -> None:
        self._named = languages
        self.version = " ".join(filter(None, ("tesseract 1", languages)))

    @cached_property
    def _languages(self) -> str:
        listed = {name.strip() for name in _run(["--list-langs"]).split("\n")[1:]} - {"", "osd", "equ"}
        return self._named or "+".join(sorted(listed)) or "eng"

    def read(self, picture: bytes) -> list[list[Word]]:
        table = _run(["stdin", "stdout", "-l", self._languages, "--psm", "3", "tsv"], picture)
        rows = csv.DictReader(io.StringIO(table), delimiter="\t", quoting=csv.QUOTE_NONE)
        words = [row for row in rows if (row["text"] or "").strip() and float(row["conf"]) >= 0]
        lines = groupby(words, key=lambda row: (row["block_num"], row["par_num"], row["line_num"]))
        return [sorted(map(_word, line), key=lambda word: word.left) for _, line in lines]


def build(options: Options, context: Context) -> Tesseract:
    del context
    return Tesseract(options.languages)


def _word(row: dict[str, str]) -> Word:
    left, top, width, height = (float(row[name]) for name in ("left", "top", "width", "height"))
    return Word(row["text"].strip(), float(row["conf"]) / 100, left, top, left + width, top + height)


def _run(arguments: list[str], given: bytes = b"") -> str:
    try:
        done = subprocess.run(
            ["tesseract", *arguments],  # noqa: S607 - found by PATH: where Debian and others have it
            input=given, capture_output=True, timeout=SECONDS, check=False,
            env=os.environ | {"OMP_THREAD_LIMIT": "1"},  # its threads wait for each other where cores are busy
        )  # fmt: skip
    except FileNotFoundError as error:
        raise MissingDependency(
            "Reading pictures with Tesseract needs its program: apt-get install tesseract-ocr. Or choose another in [retrieval.recogniser]."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise DocumentRefused(
            f"Tesseract took longer than {SECONDS} s for a page and was given up. Send the page by itself, with fewer dots per inch.",
            reason="timeout",
        ) from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[-200:]
        raise DocumentRefused(f"Tesseract could not read the picture: {said}. Save it anew.", reason="malformed")
    return done.stdout.decode("utf-8", "replace")
