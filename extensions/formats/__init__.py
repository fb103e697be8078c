"""OpenDocument, RTF, EPUB, reStructuredText, Outlook mail and the binary formats of Word, Excel and PowerPoint, read like any other document."""

from foundation.extensions import Extension

extension = Extension(
    about="OpenDocument, RTF, EPUB, reStructuredText, Outlook mail and the binary formats of Word, Excel and PowerPoint, read like any other document.",
    requires=("office",),
    extra="formats",
    parts=(
        ("retrieval.parsers/binary_office", "extensions.formats.binary_office"),
        ("retrieval.parsers/epub", "extensions.formats.epub"),
        ("retrieval.parsers/msg", "extensions.formats.msg"),
        ("retrieval.parsers/opendocument", "extensions.formats.opendocument"),
        ("retrieval.parsers/rst", "extensions.formats.rst"),
        ("retrieval.parsers/rtf", "extensions.formats.rtf"),
        ("retrieval.parsers/xls", "extensions.formats.xls"),
    ),
)
