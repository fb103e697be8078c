"""Pictures, scanned pages and pictures in documents, read by recognising their words, with the place of each word on the page."""

from foundation.extensions import Extension

extension = Extension(
    about="Pictures and scanned pages of PDFs, read by recognising their words; where each word stands; unsure digits marked.",
    requires=("office",),
    extra="ocr",
    parts=(
        ("retrieval.parsers/pictures", "extensions.ocr.parser"),
        ("retrieval.recogniser/rapidocr", "extensions.ocr.rapidocr"),
        ("retrieval.recogniser/tesseract", "extensions.ocr.tesseract"),
    ),
    plug="extensions.ocr.plug:plug",
)
