"""Tesseract in the place of rapidocr: the program of the system recognises words, in the languages that are installed with it."""

from foundation.extensions import Extension

extension = Extension(
    about="Tesseract, a program of the system, recognises the words of pictures and scans in the place of rapidocr.",
    requires=("ocr",),
    parts=(("retrieval.parsers/tesseract", "extensions.tesseract.parser"),),
)
