"""Pictures from files of unknown origin, with bounds: a small file may hold a picture that fills the memory."""

import io
import warnings
from collections.abc import Iterator

from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from foundation.errors import DocumentRefused

# Most pixels of one picture, a page of A3 at 600 dots per inch; and of its longer side as it is read
PIXELS, SIDE = 70_000_000, 2_600
# Formats that are opened; others of Pillow's many decoders are never asked
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")


def open_frames(content: bytes, name: str) -> Iterator[Image.Image]:
    """Yield the pages of a picture file, each as it is read. Raises DocumentRefused: "malformed" or "too_large"."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
            for frame in ImageSequence.Iterator(picture):
                demand_size(frame.size, name)
                yield ready(frame)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name, str(error)) from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError) as error:
        what = str(error) or type(error).__name__
        raise DocumentRefused(
            f'"{name}" is not a readable picture: {what[:200]}. Save it anew.', reason="malformed"
        ) from error


def demand_size(size: tuple[int, int], name: str) -> None:
    """Raises DocumentRefused: the picture has more pixels than one may have; they were not unpacked."""
    if size[0] * size[1] > PIXELS:
        raise _too_large(name, f"{size[0]:,} by {size[1]:,} pixels")


def ready(picture: Image.Image) -> Image.Image:
    """Return the picture upright, in colours on white, no larger than it is read."""
    picture.draft("RGB", (SIDE, SIDE))
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in ("RGBA", "LA", "P", "PA"):
        upright = upright.convert("RGBA")
        white = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(white, upright)
    upright = upright.convert("RGB")
    upright.thumbnail((SIDE, SIDE))
    return upright


def _too_large(name: str, found: str) -> DocumentRefused:
    return DocumentRefused(
        f'"{name}" holds a picture with {found}, more than {PIXELS:,} pixels. Scan it with fewer dots per inch.',
        reason="too_large",
    )
