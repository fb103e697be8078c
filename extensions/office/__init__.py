"""Word, Excel and PowerPoint documents and e-mail, read like any other document."""

from foundation.extensions import Extension

extension = Extension(
    about="Word, Excel and PowerPoint documents and e-mail, read like any other document.",
    extra="office",
    parts=(
        ("retrieval.parsers/docx", "extensions.office.docx"),
        ("retrieval.parsers/eml", "extensions.office.eml"),
        ("retrieval.parsers/pptx", "extensions.office.pptx"),
        ("retrieval.parsers/xlsx", "extensions.office.xlsx"),
    ),
)
