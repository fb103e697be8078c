"""A letter of a firm that does not exist, drawn and then photographed badly: tilted, in half shade, blurred, grainy, saved as JPEG."""

import io
import random

from PIL import Image, ImageDraw, ImageFilter, ImageFont

LINES = (
    "Brunntal Wassertechnik GmbH",
    "Musterweg 3, 00000 Beispielstadt",
    "",
    "Beispielstadt, 4. Mai 2026",
    "",
    "Sehr geehrte Frau Beispiel,",
    "",
    "vielen Dank für Ihren Auftrag über zwei Pumpen P-40.",
    "Der Rechnungsbetrag ist 1.284,50 EUR.",
    "Er ist bis zum 30. Juni 2026 zu bezahlen.",
    "Die Garantie der Pumpen gilt drei Jahre.",
    "Der Monteur kommt am 12. Mai um 9 Uhr.",
    "",
    "Mit freundlichen Grüßen",
    "Brunntal Wassertechnik GmbH",
)
_SIZE, _MARGIN, _LEADING, _POINTS = (1240, 1000), 90, 54, 32
_TILT_DEGREES, _BLUR, _GRAIN, _QUALITY = 1.5, 0.8, 12, 60


def photograph(lines: tuple[str, ...] = LINES, seed: int = 1) -> bytes:
    """Return the letter as a JPEG; the same at each call."""
    page = Image.new("L", _SIZE, 250)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(_POINTS)
    for number, line in enumerate(lines):
        pen.text((_MARGIN, _MARGIN + _LEADING * number), line, fill=25, font=font)
    page = page.rotate(_TILT_DEGREES, fillcolor=235, resample=Image.Resampling.BICUBIC)
    page = page.filter(ImageFilter.GaussianBlur(_BLUR))
    shade = Image.linear_gradient("L").resize(_SIZE).point(lambda light: 190 + light // 4)
    page = Image.composite(page, Image.new("L", _SIZE, 0), shade)
    grain = random.Random(seed)  # noqa: S311 - noise of a picture
    noisy = bytes(min(255, max(0, light + grain.randint(-_GRAIN, _GRAIN))) for light in page.tobytes())
    file = io.BytesIO()
    Image.frombytes("L", _SIZE, noisy).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
