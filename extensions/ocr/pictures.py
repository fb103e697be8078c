"""Pages as pictures, from files of unknown origin, with bounds: a small file may hold a picture that fills the memory."""

import io
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from PIL import Image, ImageOps, UnidentifiedImageError

from foundation.errors import DocumentRefused

# Most pixels of one picture, a page of A3 at 600 dots per inch; and of its longer side as it is read
PIXELS, SIDE = 70_000_000, 2_600
# Formats that are opened; others of Pillow's many decoders are never asked
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
# A page's number, its picture as PNG, and width and height of that
Page = tuple[int, bytes, tuple[int, int]]
# Where a picture stands on its page, in thousandths: left, top, width, height
Frame = tuple[float, float, float, float]
# Pixels of the longer and the shorter side from which on a picture may hold words that can be read; icons and rules have fewer
LONG, SHORT = 100, 24
# Most pictures of the pages of a PDF that have text, and most objects, of which a map has thousands, among which they are looked for
PICTURES, OBJECTS = 30, 20_000


class Placed(NamedTuple):
    """A picture on a page: the page's number, where it stands there, the picture as PNG, and its width and height."""

    page: int
    frame: Frame
    picture: bytes
    size: tuple[int, int]


def frames_of(content: bytes, name: str) -> tuple[Iterator[Page], int]:
    """Return the pages of a picture file, each as it is read, and their number. Raises DocumentRefused: "malformed" or "too_large"."""
    with _refusing(name):
        picture = Image.open(io.BytesIO(content), formats=FORMATS)
        demand_size(picture.size, name)
        count = getattr(picture, "n_frames", 1)

    def read() -> Iterator[Page]:
        for number in range(count):
            with _refusing(name):
                picture.seek(number)
                demand_size(picture.size, name)
                page = _ready(picture)
            yield (number + 1, *page)

    return read(), count


def pages_of(content: bytes, name: str, with_text: Collection[int | None]) -> tuple[Iterator[Page], int, int]:
    """Return the pictures of a PDF's pages that show something but have no text, their number, and that of all pages."""
    import pypdfium2

    with _refusing(name):
        document = pypdfium2.PdfDocument(content)
        numbers = [
            n for n in range(1, len(document) + 1) if n not in with_text and _shows_something(document[n - 1], name)
        ]

    def read() -> Iterator[Page]:
        for number in numbers:
            with _refusing(name):
                page = document[number - 1]
                picture = _ready(page.render(scale=SIDE / max(page.get_size())).to_pil())
            yield (number, *picture)

    return read(), len(numbers), len(document)


def pictures_on(content: bytes, name: str, pages: Collection[int | None]) -> list[Placed]:
    """Return the pictures on these pages of a PDF, each once, but those with text over them: that is what they show."""
    import pypdfium2

    found: dict[bytes, Placed] = {}
    with _refusing(name):
        document = pypdfium2.PdfDocument(content)
        looked_at = iter(range(OBJECTS))
        for number in sorted(page for page in pages if page is not None and page <= len(document)):
            for frame, drawn in _placed_pictures(document[number - 1], name, looked_at):
                file, size = _ready(drawn)
                if len(found) < PICTURES:
                    found.setdefault(file, Placed(number, frame, file, size))
    return [*found.values()]


def _placed_pictures(page: Any, name: str, looked_at: Iterator[int]) -> Iterator[tuple[Frame, Image.Image]]:
    width, height = page.get_size()
    for _, drawn in zip(looked_at, page.get_objects(max_depth=3), strict=False):
        if not hasattr(drawn, "get_px_size"):
            continue
        demand_size(drawn.get_px_size(), name)
        left, bottom, right, top = _within(drawn.get_bounds(), (width, height))
        is_large = (
            max(drawn.get_px_size()) >= LONG and min(drawn.get_px_size()) >= SHORT and right > left and top > bottom
        )
        if is_large and not page.get_textpage().get_text_bounded(left, bottom, right, top).strip():
            scale = SIDE / max(width, height)
            shown = page.render(scale=scale, crop=(left, bottom, width - right, height - top)).to_pil()
            frame = (left / width, 1 - top / height, (right - left) / width, (top - bottom) / height)
            yield tuple(1000 * side for side in frame), shown


def _within(bounds: tuple[float, float, float, float], size: tuple[float, float]) -> tuple[float, float, float, float]:
    left, bottom, right, top = bounds
    return max(0, left), max(0, bottom), min(size[0], right), min(size[1], top)


def ready_picture(content: bytes, name: str) -> tuple[bytes, tuple[int, int]]:
    """Return the first page of a picture, as it is read, with its size. Raises DocumentRefused: "malformed" or "too_large"."""
    with _refusing(name):
        picture = Image.open(io.BytesIO(content), formats=FORMATS)
        demand_size(picture.size, name)
        return _ready(picture)


def demand_size(size: tuple[int, int], name: str) -> None:
    """Raises DocumentRefused: the picture has more pixels than one may have; they were not unpacked."""
    if size[0] * size[1] > PIXELS:
        raise _too_large(name, f"{size[0]:,} by {size[1]:,} pixels")


def _shows_something(page: object, name: str) -> bool:
    shown = False
    for drawn in page.get_objects():  # type: ignore[attr-defined]
        shown = True
        if hasattr(drawn, "get_px_size"):
            demand_size(drawn.get_px_size(), name)
    return shown


def _ready(picture: Image.Image) -> tuple[bytes, tuple[int, int]]:
    """Return the picture upright, in colours on white, no larger than it is read."""
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in ("RGBA", "LA", "P", "PA"):
        upright = upright.convert("RGBA")
        white = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(white, upright)
    upright = upright.convert("RGB")
    upright.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    upright.save(file, "PNG", compress_level=1)
    return file.getvalue(), upright.size


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        size = next((word for word in str(error).replace("(", " ").split() if word.isdigit()), "")
        raise _too_large(name, f"{int(size):,} pixels" if size else "too many pixels") from error
    except UnidentifiedImageError as error:  # its text has the address of an object
        raise DocumentRefused(
            f'"{name}" is no picture in one of the formats {", ".join(FORMATS)}. Save it anew.', reason="malformed"
        ) from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, RuntimeError) as error:
        what = str(error) or type(error).__name__
        raise DocumentRefused(
            f'"{name}" has no readable picture: {what[:200]}. Save it anew.', reason="malformed"
        ) from error


def _too_large(name: str, found: str) -> DocumentRefused:
    return DocumentRefused(
        f'"{name}" holds a picture with {found}, more than {PIXELS:,} pixels. Scan it with fewer dots per inch.',
        reason="too_large",
    )
