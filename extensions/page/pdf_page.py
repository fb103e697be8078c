"""The picture of a page of a PDF, drawn by PDFium in a process of its own, and where words stand on it.

The file is a stranger's: that process has a parser's limits and none of our keys, is ended when it takes too long, and answers in JSON.
"""

import base64
import io
import json
import os
import resource
import subprocess
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from retrieval.ingest.sandbox import child_environment, restrict

# Pixels of the longer side; what the process may take; most bytes of a picture, characters of a page and places that are marked
SIDE, MEMORY_MB, SECONDS = 1_500, 1_000, 20
BYTES, CHARACTERS, PLACES = 2_000_000, 100_000, 400


class Frame(NamedTuple):
    """A place on a page, in thousandths of its width and height from the upper left."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, slots=True)
class PageImage:
    """A page as WebP, and where the words that were looked for stand on it."""

    picture: bytes
    width: int
    height: int
    frames: tuple[Frame, ...]


def draw_page(content: bytes, page: int, lines: Sequence[str]) -> PageImage | None:
    """Return the picture of a page, with the places of these words; `None` where the file or the page cannot be drawn."""
    head = json.dumps({"page": page, "lines": lines}).encode() + b"\n"
    try:
        done = subprocess.run(
            [sys.executable, "-m", "extensions.page.pdf_page"],
            input=head + content,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment(),
            timeout=SECONDS,
            check=True,
            start_new_session=True,
        )
        return _read_answer(done.stdout)
    except (subprocess.SubprocessError, OSError, ValueError, TypeError, KeyError):
        return None


def _read_answer(answer: bytes) -> PageImage:
    if len(answer) > 2 * BYTES:
        raise ValueError
    told = json.loads(answer)
    frames = tuple(Frame(*(min(max(int(edge), 0), 1000) for edge in frame)) for frame in told["frames"][:PLACES])
    return PageImage(base64.b64decode(told["picture"], validate=True), int(told["width"]), int(told["height"]), frames)


def _answer(content: bytes, number: int, lines: Sequence[str]) -> dict[str, Any]:
    import pypdfium2

    page = pypdfium2.PdfDocument(content)[number - 1]
    drawn = page.render(scale=SIDE / max(page.get_size()))
    picture, file = drawn.to_pil().convert("RGB"), io.BytesIO()
    picture.save(file, "WEBP", quality=80)
    if file.tell() > BYTES:
        raise ValueError
    place = drawn.get_posconv(page)
    frames = [_frame(place, picture.size, edges) for edges in islice(_rectangles(page.get_textpage(), lines), PLACES)]
    return {
        "picture": base64.b64encode(file.getvalue()).decode(),
        "width": picture.width,
        "height": picture.height,
        "frames": frames,
    }


def _rectangles(text: Any, lines: Sequence[str]) -> Iterator[tuple[float, ...]]:
    """Yield each place where one of these lines stands on the page, whatever stands between its letters and figures."""
    from pypdfium2.raw import FPDFText_GetUnicode

    count = min(text.count_chars(), CHARACTERS)
    letters = [(letter, at) for at in range(count) for letter in _letters(chr(FPDFText_GetUnicode(text, at)))]
    written = "".join(letter for letter, _ in letters)
    for wanted in filter(None, map(_letters, lines)):
        found = written.find(wanted)
        while found >= 0:
            first, last = letters[found][1], letters[found + len(wanted) - 1][1]
            yield from (text.get_rect(at) for at in range(text.count_rects(first, last - first + 1)))
            found = written.find(wanted, found + len(wanted))


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text)))


def _frame(place: Any, size: tuple[int, int], edges: tuple[float, ...]) -> Frame:
    left, bottom, right, top = edges
    (x, y), (other_x, other_y) = place.to_bitmap(left, top), place.to_bitmap(right, bottom)  # a page may be turned
    across, down = sorted((x, other_x)), sorted((y, other_y))
    return Frame(
        *(round(1000 * at / side) for at, side in zip((across[0], down[0], across[1], down[1]), size * 2, strict=True))
    )


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # prints of libraries must not mix with the answer
    restrict(MEMORY_MB)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))  # the timer of the parent ends with the parent
    asked = json.loads(sys.stdin.buffer.readline())
    answers.write(json.dumps(_answer(sys.stdin.buffer.read(), asked["page"], asked["lines"])).encode())
    answers.flush()


if __name__ == "__main__":
    _serve()
