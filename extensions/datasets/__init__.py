"""Questions and documents in folders of the forms of public data sets: BEIR's layout, and `qa.jsonl`. What asks such folders requires it."""

from foundation.extensions import Extension

extension = Extension(
    about="Questions and documents in folders of the forms of public data sets: BEIR's layout, and qa.jsonl. What asks such folders requires it.",
)
