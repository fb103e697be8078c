"""Pictures and scanned pages, read by recognising their words, with the place of each word on the page."""

from foundation.extensions import Extension

extension = Extension(
    about="Pictures and scanned pages of PDFs, read by recognising their words; where each word stands; unclear digits marked.",
    extra="ocr",
    parts=(("retrieval.parsers/ocr", "extensions.ocr.parser"),),
    plug="extensions.ocr.plug:plug",
)
